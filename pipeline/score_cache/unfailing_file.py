"""A file for HDF5 whose writes never fail: on a full disk HDF5 itself crashes. The error is kept, and raised at the end."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class UnfailingFile(io.FileIO):
    """A new file. After the first error of a write all further content is held in memory, where it is read from."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: OSError | None = None
        self._held: list[tuple[int, bytes]] = []

    def before_each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; raise the error before the next one, so that little is held."""
        for item in items:
            if self.error is not None:
                raise self.error
            yield item

    def write(self, content: Any, /) -> int:
        """Write all of the content, or hold it."""
        place, rest = self.tell(), memoryview(content).cast("B")
        size = len(rest)
        try:
            while self.error is None and len(rest):
                rest = rest[super().write(rest) :]
        except OSError as error:
            self.error = error
        if self.error is not None:
            self._held.append((place, bytes(memoryview(content).cast("B"))))
            self.seek(place + size)
        return size

    def truncate(self, size: int | None = None, /) -> int:
        """Give the file this size, unless a write has failed."""
        try:
            if self.error is None:
                return super().truncate(size)
        except OSError as error:
            self.error = error
        return size or 0

    def readinto(self, buffer: Any, /) -> int:
        """Read what was written or is held."""
        place, view = self.tell(), memoryview(buffer).cast("B")
        count = super().readinto(view)
        if self.error is None:
            return count
        view[count:] = bytes(len(view) - count)
        for start, content in self._held:
            first, last = max(start, place), min(start + len(content), place + len(view))
            if first < last:
                view[first - place : last - place] = content[first - start : last - start]
        return len(view)


@contextmanager
def unfailing_file(path: Path) -> Iterator[UnfailingFile]:
    """Give a new file to write in the context; raises the first OSError of a write after the last one."""
    with UnfailingFile(path) as file:
        yield file
    if file.error is not None:
        raise file.error
