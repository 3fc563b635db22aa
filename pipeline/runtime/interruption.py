"""SIGINT and SIGTERM -> a note that the work in hand looks at where it can stop."""

import os
import signal
import threading
from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Interruption:
    """While it is entered, SIGINT and SIGTERM only set `asked`, however often they come; afterwards they act as before.

    A signal that nobody looked at raises KeyboardInterrupt at the end. Outside the main thread, where Python lets nobody
    handle signals, and for a signal that the process was started to ignore, nothing changes.
    """

    def __init__(self, notice: str = "") -> None:
        """notice: what becomes of the work in hand, said on standard error as soon as the first signal comes."""
        self.asked, self._notice = False, notice
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) is not signal.SIG_IGN:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        if self.asked and kind is None:
            raise KeyboardInterrupt

    def before_each(self, items: Iterable[T]) -> Iterator[T]:
        """Yield the items; raise KeyboardInterrupt before the next one once a signal has come."""
        for item in items:
            if self.asked:
                raise KeyboardInterrupt
            yield item

    def _note(self, *_: object) -> None:
        if self._notice and not self.asked:
            os.write(2, f"\ninterrupted: {self._notice}\n".encode())  # a handler may not print
        self.asked = True
