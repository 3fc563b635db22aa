"""Who may ask the page for anything: a browser on this machine, at the page's own address, that was given the token.

Any page that is open in a browser can send requests to this machine, and any name can be made to lead to it. So Host must be
the page's own, Origin too where there is one, and the token is kept in a cookie that no other site's requests carry.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = "127.0.0.1"
NAMES = (LOOPBACK, "localhost")
TOKEN = "token"
BODY_BYTES = 1 << 16  # of a request, at most
SHOWN = 80  # characters of what a stranger sent that are said
OWN = ("same-origin", "none")  # what Sec-Fetch-Site says of the page itself, and of an address that a person typed
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'"
    ),
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True)
class Door:
    """Where the page is. port: on the loopback address. token: what opens it; refused: is told of each refusal, in a line."""

    port: int
    refused: Callable[[str], None]
    token: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    @property
    def address(self) -> str:
        """What a person opens; the token in it is exchanged for a cookie."""
        return f"http://{LOOPBACK}:{self.port}/?{TOKEN}={self.token}"

    @property
    def cookie(self) -> str:
        """The name of the cookie; cookies of one machine are shared by all its ports."""
        return f"aevlp-review-{self.port}"

    def is_open_to(self, token: str | None) -> bool:
        """Return whether this is the token, in a time that says nothing of it."""
        return token is not None and secrets.compare_digest(token.encode(), self.token.encode())


class Gate:
    """Passes on to an application what may ask it, and refuses all else; every answer has the headers that shut others out."""

    def __init__(self, application: ASGIApp, door: Door) -> None:
        self._application, self._door = application, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def shut(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        request = Request(scope)
        answer = self._answer(request)
        await (self._application if answer is None else answer)(scope, receive, shut)

    def _answer(self, request: Request) -> Response | None:
        """Return the refusal of a request, or the cookie for a token; None where it may pass."""
        headers, door = request.headers, self._door
        if headers.get("host", "") not in self._hosts:
            return self._refuse(request, 421, f"its Host is {_shown(headers.get('host'))}")
        if reason := self._foreign(request):
            return self._refuse(request, 403, reason)
        if request.url.path == "/" and TOKEN in request.query_params and request.method == "GET":
            if not door.is_open_to(request.query_params[TOKEN]):
                return self._refuse(request, 403, "it has another token")
            entered = RedirectResponse("/", 303)
            entered.set_cookie(door.cookie, door.token, httponly=True, samesite="strict")
            return entered
        if not door.is_open_to(request.cookies.get(door.cookie)):
            return self._refuse(request, 403, "it has no token, or another")
        if request.method == "POST":
            return self._body(request, headers)
        return None

    @property
    def _hosts(self) -> list[str]:
        return [f"{name}:{self._door.port}" for name in NAMES]

    def _foreign(self, request: Request) -> str | None:
        """Return why a request is another page's; None for one of this page, or of nobody's page."""
        headers = request.headers
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin != f"http://{headers['host']}":
            return f"its Origin is {_shown(origin)}"
        entering = request.url.path == "/" and request.method == "GET"  # from a link, as in a notebook
        if site is not None and site not in OWN and not entering:
            return f"another page asks, {_shown(site)}"
        if request.method != "GET" and origin is None and site != "same-origin":
            return "nothing says that the page itself asks: neither Origin nor Sec-Fetch-Site"
        return None

    def _body(self, request: Request, headers: Headers) -> Response | None:
        kind, size = headers.get("content-type", ""), headers.get("content-length", "")
        if kind.partition(";")[0].strip().lower() != "application/json":
            return self._refuse(request, 415, f"its content is {_shown(kind)}, expected application/json")
        if not size.isdecimal() or len(size) > 9 or int(size) > BODY_BYTES:
            return self._refuse(request, 413, f"its content has {_shown(size)} bytes, expected at most {BODY_BYTES:,}")
        return None

    def _refuse(self, request: Request, status: int, reason: str) -> Response:
        self._door.refused(f"refused {request.method} {_shown(request.url.path)}: {reason}")
        advice = " Open the address that aevlp review shows in the terminal: paste it into the address bar."
        return PlainTextResponse(f"Refused: {reason}.{advice if status == 403 else ''}\n", status)


def _shown(text: str | None) -> str:
    """Return what a stranger sent as it may be shown in a terminal: quoted, short, without control characters."""
    return "not given" if text is None else ascii(text[:SHOWN])
