"""The desk at which tabs of a browser get pairs to look at and hand in their answers; every answer is on disk before it counts.

A pair that a tab got is its own for a minute, so that two tabs do not ask the same. Where both answer all the same, the later
answer holds, and each can be taken back.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ...pipeline.errors import AevlpError
from ...pipeline.files.stamps import stamped_size
from ...pipeline.labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ...pipeline.review.answers import Answer, AnswerStore
from ...pipeline.review.queue import Pair
from ...pipeline.score_cache import ScoreCache
from .order import Order
from .placed import Place, placed

LEASE_SECONDS = 60.0
RENEW_AFTER = 50  # answers, after which the order is found anew
MANY = 12  # pairs that are answered at once
LATEST = 200  # answers among which one that is sent again is looked for
RATED = 20  # answers that the rate is of
MOST_SECONDS = 60.0  # that one answer counts for: more was a pause


class AnotherCacheError(AevlpError):
    """An answer about a pair that the cache has not."""


@dataclass(frozen=True)
class Given:
    """One answer of a page. image, label: what the page showed, so that a page of another cache is noticed."""

    row: int
    column: int
    image: str
    label: str
    code: int
    seconds: float | None = None


@dataclass(frozen=True)
class Group:
    """Pairs of one class of which the same answer is likely. likely: that answer, +1 or -1."""

    column: int
    likely: int
    pairs: list[Pair]


@dataclass(frozen=True)
class Lease:
    """tab: whose a pair is; until: when that ends, by the desk's clock."""

    tab: str
    until: float


class Desk:
    """Pairs of a cache for any number of tabs and threads. clock: seconds that only grow."""

    def __init__(
        self, cache: ScoreCache, store: AnswerStore, order: Order, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.cache, self.store, self.order = cache, store, order
        self._clock, self._lock = clock, threading.RLock()
        self._leases: dict[Place, Lease] = {}
        self._asked: dict[Place, Pair] = {}
        self._since = 0  # answers since the order was found
        self._latest: deque[tuple[float, int]] = deque(maxlen=RATED)  # seconds and codes
        self.given = self._read()
        order.renew(set(self.given))

    @property
    def open(self) -> list[Pair]:
        """The pairs that have no answer, as far as the order is known."""
        return [pair for pair in self.order.pairs if (pair.row, pair.column) not in self.given]

    def answers_of(self, row: int) -> dict[int, int]:
        """Return the answers about an image that hold, by column."""
        places = ((row, column) for column in range(len(self.cache.classes)))
        return {place[1]: self.given[place] for place in places if place in self.given}

    @property
    def rate(self) -> float | None:
        """Answers a minute, by the latest of this review, None before there are some; a skipped pair took time and is none."""
        whole = sum(seconds for seconds, _ in self._latest)
        known = sum(code != UNKNOWN for _, code in self._latest)
        return 60 * known / whole if len(self._latest) >= RATED // 4 and whole else None

    def queue(self, tab: str, held: Sequence[Place], count: int) -> list[Pair]:
        """Return the pairs that are a tab's for the next minute: those it holds, then others until there are `count`.

        held: left out are those that are answered, or another tab's by now.
        """
        with self._lock:
            kept = [
                self._asked[place] for place in dict.fromkeys(held) if place in self._asked and self._free(place, tab)
            ]
            return self._lease(tab, kept, self.open, count)

    def group(self, tab: str, column: int | None = None, likely: int | None = None) -> Group | None:
        """Return pairs of one class of which the same answer is likely, and lease them; None where there are none.

        column, likely: which; None: the class and answer whose first pairs are surest.
        """
        with self._lock:
            groups: dict[tuple[int, int], list[Pair]] = {}
            for pair in self.open:
                key = pair.column, POSITIVE if pair.chance >= 0.5 else NEGATIVE
                if self._free((pair.row, pair.column), tab) and column in (None, key[0]) and likely in (None, key[1]):
                    groups.setdefault(key, []).append(pair)
            if not groups:
                return None
            # The first of equals is that of the pair which comes first in the order.
            key = max(groups, key=lambda key: _sureness(groups[key][:MANY]))
            return Group(*key, self._lease(tab, [], groups[key], MANY))

    def answer(self, given: Sequence[Given], again: bool = False) -> list[int]:
        """Keep answers, all or none, and return their numbers, by which they can be taken back; they are on the disk then.

        again: these may have arrived before, as when the reply was lost: what is there already is not written twice.
        Raises AnotherCacheError where one is about a pair that the cache has not, AevlpError where they cannot be written.
        """
        answers = [self._answer(one) for one in given]
        with self._lock:
            numbers = self._there(answers) if again else None
            if numbers is None:
                numbers = self.store.give(answers)
                timed = ((min(one.seconds, MOST_SECONDS), one.code) for one in given if one.seconds is not None)
                self._latest.extend(timed)
                self._since += len(given)
            for one in given:
                self.given[one.row, one.column] = one.code
                self._leases.pop((one.row, one.column), None)
            if self._since >= RENEW_AFTER:
                self._renew()
            return numbers

    def undo(self, numbers: Sequence[int]) -> list[Place]:
        """Take answers back and return their pairs; what was answered of them before holds again."""
        with self._lock:
            taken = self.store.undo(numbers)
            self.given = self._read()
            return list(self._places(taken))

    def renew_where_short(self, found: Sequence[object]) -> bool:
        """Have the order found anew where nothing was found and answers came since; return whether it is being found."""
        with self._lock:
            if not found and self._since:
                self._renew()
            return self.order.renewing

    def _renew(self) -> None:
        if not self.order.renewing:
            self._since = 0
            self.given = self._read()  # another process may have answered too
            self.order.renew_aside(set(self.given))

    def _free(self, place: Place, tab: str) -> bool:
        """Return whether a pair has no answer and is not another tab's."""
        lease = self._leases.get(place)
        return place not in self.given and (lease is None or lease.tab == tab or lease.until <= self._clock())

    def _lease(self, tab: str, kept: list[Pair], others: Iterable[Pair], count: int) -> list[Pair]:
        until = self._clock() + LEASE_SECONDS
        here = {(pair.row, pair.column): pair for pair in kept}
        for pair in others:
            if len(here) >= count:
                break
            if self._free(place := (pair.row, pair.column), tab):
                here.setdefault(place, pair)
        for place in here:
            self._leases[place] = Lease(tab, until)
        self._asked |= here
        return list(here.values())

    def _answer(self, given: Given) -> Answer:
        cache = self.cache
        fits = 0 <= given.row < len(cache) and 0 <= given.column < len(cache.classes)
        if not fits or cache.ids[given.row] != given.image or cache.classes[given.column] != given.label:
            raise AnotherCacheError(
                f"no pair of {given.image!r} and {given.label!r} in row {given.row} of {cache.path}: the page is of "
                f"another cache, load it again"
            )
        size = stamped_size(cache.stamps[given.row])
        return Answer(given.image, given.label, given.code, size, seconds=given.seconds)

    def _there(self, answers: Sequence[Answer]) -> list[int] | None:
        """Return the numbers of answers that hold already, None where one does not."""
        latest: dict[tuple[str, str], tuple[int, int]] = {}
        for number, answer in self.store.latest(LATEST):
            latest.setdefault((answer.image, answer.label), (number, answer.code))
        found = [latest.get((answer.image, answer.label), (0, UNKNOWN)) for answer in answers]
        same = all(number and code == a.code for (number, code), a in zip(found, answers, strict=True))
        return [number for number, _ in found] if same else None

    def _read(self) -> dict[Place, int]:
        """Return the answers that hold, by row and column; those about images and classes that the cache has not are passed."""
        answers = self.store.current()
        return {place: answer.code for place, answer in placed(self.cache, answers)}

    def _places(self, answers: Sequence[Answer]) -> Iterable[Place]:
        return (place for place, _ in placed(self.cache, answers))


def _sureness(pairs: Sequence[Pair]) -> tuple[int, float]:
    """Return how many pairs there are, and how far their chances lie from a half."""
    return len(pairs), sum(abs(pair.chance - 0.5) for pair in pairs)
