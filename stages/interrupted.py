"""What an interrupt leaves behind, in words: whoever keeps something says so before the work begins."""

from collections.abc import Iterator
from contextlib import contextmanager

_kept: list[str] = []


@contextmanager
def keeping(words: str) -> Iterator[None]:
    """Have an interrupt within the block say what is kept and how to go on; the outermost block's words hold."""
    _kept.append(words)
    yield
    _kept.pop()  # not after an exception, of which it is said when the program ends


def what_is_kept() -> str:
    """Return what an interrupt that has just come leaves behind."""
    return _kept[0] if _kept else "nothing was written"


def forget() -> None:
    """Begin anew: nothing is kept yet."""
    _kept.clear()
