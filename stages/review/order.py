"""Which pairs are asked about, in what order; found anew beside the work, as answers come in."""

import threading
from collections.abc import Callable, Collection, Sequence

from ...pipeline.errors import AevlpError
from ...pipeline.review.queue import Pair
from ..console import say
from .placed import Place

Find = Callable[[Collection[Place]], Sequence[Pair]]


class Order:
    """The pairs of which an answer helps most, in that order.

    find: places that are answered -> pairs without them.
    """

    def __init__(self, find: Find) -> None:
        self._find = find
        self._thread: threading.Thread | None = None
        self.pairs: Sequence[Pair] = ()

    @property
    def renewing(self) -> bool:
        """Whether it is being found anew."""
        return self._thread is not None and self._thread.is_alive()

    def renew(self, answered: Collection[Place]) -> None:
        """Find the order; it holds when this returns."""
        self.pairs = self._find(answered)

    def renew_aside(self, answered: Collection[Place]) -> None:
        """Have the order found in a thread, unless one is at it; until then the one of before holds."""
        if not self.renewing:
            self._thread = threading.Thread(target=self._renew_or_say, args=(answered,), daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Return when no order is being found."""
        if self._thread is not None:
            self._thread.join()

    def _renew_or_say(self, answered: Collection[Place]) -> None:
        try:
            self.renew(answered)
        except AevlpError as error:
            say(f"the order of the questions stays as it was: {error}")
