"""The desk and the pictures as a Starlette application: the page, what it asks for, and what is refused."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ...pipeline.errors import AevlpError, in_one_line
from ...pipeline.labels.codes import POSITIVE, UNKNOWN
from ...pipeline.review.queue import Pair
from .desk import MANY, AnotherCacheError, Desk, Given
from .explained import Explainer
from .gate import Door, Gate
from .pictures import SIDES, OutsideError, Pictures
from .progress import progress

PAGE = Path(__file__).parent / "page"
KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
FILES = {f"/{file.name}": file for file in PAGE.iterdir() if file.suffix in KINDS} | {"/": PAGE / "review.html"}
MOST_HELD = 64  # pairs that a tab may hold
T = TypeVar("T")


class Held(msgspec.Struct):
    """What a tab holds: places of pairs (row, column), the one that is shown first; count: how many it wants."""

    tab: str
    held: list[tuple[int, int]] = []
    count: int = 4


class AnswerOf(msgspec.Struct):
    """One answer, as `desk.Given` has it."""

    row: int
    column: int
    image: str
    label: str
    answer: Literal[-1, 0, 1]
    seconds: float | None = None


class Answers(Held):
    """answers: to be kept, all or none. again: whether they may have arrived before."""

    answers: list[AnswerOf] = []
    again: bool = False


class Undone(Held):
    """numbers: of the answers to be taken back."""

    numbers: list[int] = []


class Many(msgspec.Struct):
    """column, likely: of which class, and with which likely answer, pairs are wanted; None for the surest."""

    tab: str
    column: int | None = None
    likely: Literal[-1, 1] | None = None


def application(desk: Desk, explainer: Explainer, pictures: Pictures, door: Door) -> ASGIApp:
    """Return the page behind its gate."""
    routes = _Routes(desk, explainer, pictures, door)
    inner = Starlette(
        routes=[
            *(Route(path, routes.file, methods=["GET"]) for path in FILES),
            Route("/picture/{side}/{row:int}", routes.picture, methods=["GET"]),
            Route("/picture/{side}/{row:int}/{view:int}", routes.picture, methods=["GET"]),
            Route("/api/review", routes.review, methods=["GET"]),
            Route("/api/next", routes.next, methods=["POST"]),
            Route("/api/answer", routes.answer, methods=["POST"]),
            Route("/api/undo", routes.undo, methods=["POST"]),
            Route("/api/many", routes.many, methods=["POST"]),
        ],
        exception_handlers={HTTPException: routes.refuse, AevlpError: routes.failed},
    )
    return Gate(inner, door)


class _Routes:
    def __init__(self, desk: Desk, explainer: Explainer, pictures: Pictures, door: Door) -> None:
        self._desk, self._explainer, self._pictures, self._door = desk, explainer, pictures, door

    def file(self, request: Request) -> Response:
        file = FILES[request.url.path]
        return Response(file.read_bytes(), media_type=KINDS[file.suffix])

    def picture(self, request: Request) -> Response:
        side, row, view = (request.path_params.get(name, 0) for name in ("side", "row", "view"))
        if side not in SIDES:
            raise HTTPException(404)
        try:
            return Response(self._pictures.jpeg(row, side, view), media_type="image/jpeg")
        except LookupError as error:
            raise HTTPException(404) from error
        except OutsideError as error:
            self._door.refused(f"refused {request.method} {request.url.path}: {error}")
            return PlainTextResponse(f"Refused: {error}", 403)
        except AevlpError as error:
            return PlainTextResponse(in_one_line(error), 404)

    def review(self, request: Request) -> Response:
        cache = self._desk.cache
        about = {"cache": cache.path.name, "fingerprint": cache.fingerprint, "classes": cache.classes, "many": MANY}
        return Response(json.dumps(about), media_type="application/json")

    async def next(self, request: Request) -> Response:
        asked = await _content(request, Held)
        return await _json(lambda: self._queue(asked))

    async def answer(self, request: Request) -> Response:
        asked = await _content(request, Answers)
        given = [Given(a.row, a.column, a.image, a.label, a.answer, a.seconds) for a in asked.answers[:MANY]]

        def kept() -> dict[str, Any]:
            numbers = self._desk.answer(given, asked.again)
            return {"numbers": numbers, **self._queue(asked)}

        return await _json(kept)

    async def undo(self, request: Request) -> Response:
        asked = await _content(request, Undone)

        def undone() -> dict[str, Any]:
            places = self._desk.undo(asked.numbers[:MANY])
            return {"undone": len(places), **self._queue(asked, places)}

        return await _json(undone)

    async def many(self, request: Request) -> Response:
        asked = await _content(request, Many)

        def found() -> dict[str, Any]:
            group = self._desk.group(asked.tab, asked.column, asked.likely)
            pairs = group.pairs if group else []
            return {
                "column": group and group.column,
                "likely": group and group.likely,
                "pairs": [self._shown(pair) for pair in pairs],
                **self._state(pairs),
            }

        return await _json(found)

    def refuse(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        reason = error.detail if isinstance(error, HTTPException) else in_one_line(error)
        self._door.refused(f"refused {request.method} {request.url.path[:80]!a}: {reason}")
        headers = error.headers if isinstance(error, HTTPException) else None
        return PlainTextResponse(f"Refused: {reason}\n", status, headers)

    def failed(self, request: Request, error: Exception) -> Response:
        """Say what could not be done, such as an answer that cannot be written: the page keeps it."""
        self._door.refused(f"failed {request.method} {request.url.path}: {in_one_line(error)}")
        return PlainTextResponse(in_one_line(error), 409 if isinstance(error, AnotherCacheError) else 500)

    def _queue(self, asked: Held, first: Sequence[tuple[int, int]] = ()) -> dict[str, Any]:
        pairs = self._desk.queue(asked.tab, [*first, *asked.held[:MOST_HELD]], min(max(asked.count, 0), MOST_HELD))
        return {"pairs": [self._shown(pair) for pair in pairs], **self._state(pairs)}

    def _state(self, found: Sequence[Pair]) -> dict[str, Any]:
        return {
            "renewing": self._desk.renew_where_short(found),
            "progress": dataclasses.asdict(progress(self._desk)),
        }

    def _shown(self, pair: Pair) -> dict[str, Any]:
        """Return a pair as the page shows it."""
        cache = self._desk.cache
        known = self._explainer.of(pair.row, pair.column)
        return {
            "row": pair.row,
            "column": pair.column,
            "image": str(cache.ids[pair.row]),
            "label": cache.classes[pair.column],
            "chance": pair.chance,
            "view": known.view,
            "box": known.box,
            "reason": known.reason,
            "labels": self._labels(pair),
        }

    def _labels(self, pair: Pair) -> list[dict[str, Any]]:
        """Return what else an image is labelled: observed, answered, and by positive pseudo-labels."""
        cache, row = self._desk.cache, pair.row
        found = dict.fromkeys(self._explainer.positives(row), ("pseudo-label", POSITIVE))
        observed = cache.labels("observed", [row])[0]
        found |= dict.fromkeys(np.flatnonzero(observed == POSITIVE).tolist(), ("observed", POSITIVE))
        found |= {column: ("answered", code) for column, code in self._desk.answers_of(row).items() if code != UNKNOWN}
        found.pop(pair.column, None)
        return [{"label": cache.classes[c], "source": source, "code": code} for c, (source, code) in found.items()]


async def _content(request: Request, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(await request.body(), type=kind)
    except msgspec.MsgspecError as error:
        raise HTTPException(400, in_one_line(error)) from error


async def _json(work: Callable[[], dict[str, Any]]) -> Response:
    return Response(json.dumps(await run_in_threadpool(work)), media_type="application/json")
