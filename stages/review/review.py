"""A cache -> a page on this machine where a person answers what its images show; the answers are kept beside the cache."""

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...pipeline.errors import AevlpError, counted
from ...pipeline.labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ...pipeline.review.answers import Answer, AnswerStore, answers_file
from ...pipeline.review.queue import Pair, review_queue
from ...pipeline.score_cache import open_cache
from ...pipeline.score_cache.remote import local_place
from ..cache_log import log_of
from ..cache_origin import data_root
from ..caches.inspect import cached_settings
from ..console import logged_to, out, print_result, say
from ..declaration import takes
from ..results import Result
from .options import ReviewOptions

NEEDED = ("starlette", "uvicorn")
COUNT = 2000  # pairs that the order holds; it is found anew as answers come in


@dataclass(frozen=True, repr=False)
class Review(Result):
    """What was answered. file: with the answers. yes, no, skipped: how many pairs; given: how many by this review."""

    cache: Path
    file: Path
    yes: int
    no: int
    skipped: int
    given: int

    @property
    def answers(self) -> int:
        """How many pairs have an answer, yes or no."""
        return self.yes + self.no

    def summary(self) -> dict[str, Any]:
        """Return the file and how many answers are in it."""
        return {"file": self.file, "yes": self.yes, "no": self.no, "skipped": self.skipped}

    def to_json(self) -> dict[str, Any]:
        """Return every field as a JSON value."""
        return {**vars(self), "cache": str(self.cache), "file": str(self.file)}


@takes(ReviewOptions)
def review(options: ReviewOptions) -> Review:
    """Serve the page until Ctrl-C, and return what is answered; every answer is on the disk as soon as it is given.

    Raises AevlpError where Starlette or uvicorn is not installed, where the folder of the images is not there, where nothing is
    left to ask, and where the answers cannot be written.
    """
    require_packages()
    from .desk import Desk
    from .explained import Explainer
    from .order import Order
    from .pictures import Pictures
    from .server import application
    from .serving import serve

    cache = open_cache(options.cache)
    local, settings = local_place(cache.path), cached_settings(cache)
    root = data_root(cache, options.data_root)
    logits = None
    if options.run is not None:
        from .predictions import training_logits

        logits = training_logits(options.run, cache, root, options.device, options.workers, options.max_pixels)

    def find(answered: Collection[tuple[int, int]]) -> list[Pair]:
        return review_queue(cache, settings, answered, logits=logits, count=COUNT)

    def refused(line: str) -> None:
        with logged_to(log_of(local)):
            say(line)

    with AnswerStore(answers_file(local)) as store:
        before = len(store.current())
        say(f"looking for the pairs of image and class in {cache.path} of which an answer helps most")
        desk = Desk(cache, store, Order(find))
        if not desk.open:
            raise AevlpError(f"{cache.path}: no pair of a training image and a class is without a label or an answer")
        explainer, pictures = Explainer(cache, settings, logits), Pictures(cache, root, options.max_pixels)
        serve(lambda door: application(desk, explainer, pictures, door), options.port, refused)
        desk.order.wait()  # it reads the cache
        return _review(cache.path, store.path, store.current(), before)


def require_packages() -> None:
    """Raise AevlpError where what serves the page is not installed."""
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        raise AevlpError(f"the page needs {' and '.join(absent)}: pip install 'aevlp[review]'")


def _review(cache: Path, file: Path, answers: Iterable[Answer], before: int) -> Review:
    of = Counter(answer.code for answer in answers)
    return Review(cache, file, of[POSITIVE], of[NEGATIVE], of[UNKNOWN], of.total() - before)


def show(result: Review) -> None:
    """Print how many answers there are, where they are, and what to do with them."""
    print_result(
        result.file,
        f": {counted(result.answers, 'answer')} ({result.yes:,} yes, {result.no:,} no), {result.skipped:,} skipped",
    )
    if result.answers:
        out.print(f"to train with them: aevlp train {result.cache} --corrections {result.file}")
