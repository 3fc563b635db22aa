"""Standard output and standard error of any encoding: plain characters instead of those it has not; nothing is lost or raised."""

import codecs
import io
import sys

# Where there is nothing plain for a character its escape is shown, such as \\xe9.
PLAIN = {"…": "...", "·": "-", "≥": ">=", "≤": "<=", "²": "^2", "±": "+-", "→": "->"}
HANDLER = "aevlp.plain"


def _plain(error: UnicodeError) -> tuple[str, int]:
    """Return plain characters for those that cannot be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    found = error.object[error.start : error.end]
    return "".join(PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in found), error.end


codecs.register_error(HANDLER, _plain)


def never_raise() -> None:
    """Have standard output and standard error show in plain characters what their encoding has not."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def shown(text: str) -> str:
    """Return a text as standard output will show it, so that its width is known."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, HANDLER).decode(encoding)
