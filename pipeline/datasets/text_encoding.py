"""How the characters of a text file are written: told by its first bytes, or stated; never guessed."""

import codecs
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..errors import AevlpError

BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins as UTF-16's does
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


HEAD = 1 << 20  # bytes of a table that are read before it


def head_of(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as file:
        return file.read(HEAD)


def encoding_of(path: Path, head: bytes, stated: str | None = None) -> str:
    """Return the codec that reads a text file, of which the first bytes are given: by their mark, as `stated`, or UTF-8.

    Raises AevlpError where the mark is of another encoding than stated, or the bytes are those of UTF-16 without a mark.
    """
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if head.startswith(mark):
            family = encoding.removesuffix("-sig")
            if stated and not codecs.lookup(stated).name.startswith(family):
                raise AevlpError(
                    f"{path} begins with the mark of {family}, and the manifest says `encoding: {stated}`: leave that out"
                )
            return encoding
    if stated:
        return codecs.lookup(stated).name
    if b"\0" in head:
        likely = "utf-16-le" if head[1::2].count(0) > head[::2].count(0) else "utf-16-be"
        raise AevlpError(
            f"{path}: not UTF-8 text, it holds zero bytes: save it as UTF-8, or write its encoding in the manifest, such as "
            f"`encoding: {likely}`"
        )
    return "utf-8"


def decoded(head: bytes, encoding: str) -> str:
    """Return the text of the first bytes of a file, which may end within a character; UnicodeError where it is none."""
    return codecs.getincrementaldecoder(encoding)().decode(head)


@contextmanager
def text_errors(path: Path, encoding: str) -> Iterator[None]:
    """Raise AevlpError, with the first line at fault and what to do, where a file is not of its encoding."""
    try:
        yield
    except UnicodeError as error:
        raise _not_text(path, encoding, error) from error


def _not_text(path: Path, encoding: str, error: UnicodeError) -> AevlpError:
    found = _line_not_utf8(path) if encoding.startswith("utf-8") else None
    if found is None:
        return AevlpError(f"{path}: not {encoding} text: {error}; write the encoding that it is of in the manifest")
    line, content = found
    shown = content.strip().decode("latin-1")[:60]
    return AevlpError(
        f"{path}, line {line}: not UTF-8 text: save the table as UTF-8, or write its encoding in the manifest, such as "
        f"`encoding: latin-1`, by which the line reads {shown!r}"
    )


def _line_not_utf8(path: Path) -> tuple[int, bytes] | None:
    """Return the number and the bytes of the first line that is not UTF-8."""
    with path.open("rb") as file:
        number = 1
        for lines in file:
            for line in re.split(rb"(?<=\r)(?!\n)", lines):
                if not line:
                    continue
                try:
                    line.decode()
                except UnicodeDecodeError:
                    return number, line
                number += 1
    return None


def reads_as_utf8_too(path: Path) -> bool:
    """Return whether a file, read by another codec, is UTF-8 text that goes beyond ASCII."""
    with path.open("rb") as file:
        ascii_alone = all(line.isascii() for line in file)
    return not ascii_alone and _line_not_utf8(path) is None
