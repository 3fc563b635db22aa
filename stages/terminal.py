"""Standard output and standard error of any encoding, closed or full: what cannot be shown is shown plainly, or not at all."""

import codecs
import io
import os
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
    """Have both show in plain characters what their encoding has not, and show nothing where they are closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=HANDLER)


def shown(text: str) -> str:
    """Return a text as standard output will show it, so that its width is known."""
    encoding = sys.stdout.encoding or "utf-8"
    return text.encode(encoding, HANDLER).decode(encoding)


def drop_the_rest() -> None:
    """Write what standard output still holds, or let go of it where that fails: Python would say so again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
