"""Every error that a user can meet."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from difflib import SequenceMatcher


class AevlpError(Exception):
    """A user's mistake or unusable input; its text is one line that says what was expected, found, where, and what to do."""


class UnreadableNow(AevlpError):
    """A file that cannot be read at this moment, of which nothing says that it is damaged: nobody need make it anew."""


class Notice(UserWarning):
    """What a user should know, though nothing stops for it; its text is one line."""


class ImageError(AevlpError):
    """An image that cannot be read; `status` is the one word that the cache keeps of it."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def unknown_name(kind: str, name: str, known: Iterable[str]) -> AevlpError:
    """Return the error for a name that is not known, which lists the known ones, nearest first."""
    return AevlpError(f"unknown {kind} {name!r}: known are {some(nearest(name, known), 12)}")


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Return the known names, those first that are spelt most as `name` is."""
    return sorted(known, key=lambda k: -SequenceMatcher(None, name.lower(), k.lower()).ratio())


@contextmanager
def given_by(option: str) -> Iterator[None]:
    """Begin each AevlpError of the block with the option whose value it is about."""
    try:
        yield
    except AevlpError as error:
        raise AevlpError(f"{option}: {error}") from error


def some(names: Sequence[str], shown: int) -> str:
    """Return the first of some names as words, and how many there are in all where that is more."""
    return ", ".join(names[:shown]) + (f", … ({len(names):,} in all)" if len(names) > shown else "")


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number of things as words, such as "1 image" or "2,000 images"; plural: where it is not the noun and an s."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def in_one_line(error: BaseException, most: int | None = None) -> str:
    """Return the text of an error, of a library or the machine, without its line breaks; no more than `most` characters of it."""
    return " ".join(str(error).split())[:most]
