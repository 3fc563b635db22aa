"""A cache -> a page on this machine where a person answers what its images show; the answers are kept beside the cache."""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...pipeline.errors import AevlpError, counted
from ...pipeline.files.locations import local_place
from ...pipeline.files.locks import locked
from ...pipeline.labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ...pipeline.review.answers import Answer, AnswerStore, answers_file
from ...pipeline.review.queue import Pair, review_queue
from ...pipeline.score_cache import ScoreCache, open_cache
from ..cache_log import log_of
from ..cache_origin import data_root
from ..caches.inspect import cached_settings
from ..console import logged_to, out, print_result, say
from ..declaration import takes
from ..results import Result
from .exchange import FORMATS, place_for, read_answers, sheets_of, write_sheets
from .options import ReviewOptions
from .placed import placed

NEEDED = ("starlette", "uvicorn")
EXPORTED = 500  # pairs that go to another tool
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


@dataclass(frozen=True, repr=False)
class Exported(Result):
    """Pairs that were written for another tool, into a file or a folder. root: of the images."""

    cache: Path
    file: Path
    format: str
    pairs: int
    images: int
    root: Path

    def summary(self) -> dict[str, Any]:
        """Return the file and how much is in it."""
        return {"file": self.file, "format": self.format, "pairs": self.pairs, "images": self.images}

    def to_json(self) -> dict[str, Any]:
        """Return every field as a JSON value."""
        return {**vars(self), "cache": str(self.cache), "file": str(self.file), "root": str(self.root)}


@takes(ReviewOptions)
def review(options: ReviewOptions) -> Review | Exported:
    """Serve the page until Ctrl-C, and return what is answered; every answer is on the disk as soon as it is given.

    With `export` pairs are written for another tool instead, with `answers` taken from a file of one. Raises AevlpError where
    Starlette or uvicorn is not installed, where the folder of the images is not there, where nothing is left to ask, and where
    the answers cannot be written.
    """
    if options.export is not None and options.answers is not None:
        raise AevlpError("--export writes pairs and --import takes answers: one at a time")
    for flag, given in (("--to", options.to), ("--count", options.count)):
        if given is not None and options.export is None:
            raise AevlpError(f"{flag} is of what --export writes: say --export too")
    cache = open_cache(options.cache)
    local, settings = local_place(cache.path), cached_settings(cache)
    if options.answers is not None:
        return _taken(options.answers, cache, local)
    if options.export is None:
        require_packages()
    root = data_root(cache, options.data_root, needed=options.export != "csv")
    logits = None
    if options.run is not None:
        from .predictions import training_logits

        logits = training_logits(options.run, cache, root, options.device, options.workers, options.max_pixels)

    def find(answered: Collection[tuple[int, int]], count: int = COUNT) -> list[Pair]:
        return review_queue(cache, settings, answered, logits=logits, count=count)

    if options.export is not None:
        return _exported(cache, find, root, options, local)

    from .desk import Desk
    from .explained import Explainer
    from .order import Order
    from .pictures import Pictures
    from .server import application
    from .serving import serve

    def refused(line: str) -> None:
        with logged_to(log_of(local)):
            say(line)

    open_elsewhere = (
        f"another aevlp review of {cache.path} is open, which would ask the same questions: open its address in another tab, or "
        f"end it with Ctrl-C"
    )
    with locked(answers_file(local), 2, open_elsewhere), AnswerStore(answers_file(local)) as store:
        before = len(store.current())
        say(f"looking for the pairs of image and class in {cache.path} of which an answer helps most")
        desk = Desk(cache, store, Order(find))
        if not desk.open:
            raise AevlpError(f"{cache.path}: no pair of a training image and a class is without a label or an answer")
        explainer, pictures = Explainer(cache, settings, logits), Pictures(cache, root, options.max_pixels)
        serve(lambda door: application(desk, explainer, pictures, door), options.port, refused)
        desk.order.wait()  # it reads the cache
        return _review(cache.path, store.path, store.current(), before)


def _exported(
    cache: ScoreCache, find: Callable[..., list[Pair]], root: Path, options: ReviewOptions, local: Path
) -> Exported:
    """Write the first pairs that have no answer."""
    assert options.export is not None
    target = place_for(options.export, options.to, local)
    answered: list[tuple[int, int]] = []
    if answers_file(local).exists():
        with AnswerStore(answers_file(local)) as store:
            answered = [place for place, _ in placed(cache, store.current())]
    pairs = find(answered, options.count or EXPORTED)
    if not pairs:
        raise AevlpError(f"{cache.path}: no pair of a training image and a class is without a label or an answer")
    sheets = sheets_of(cache, pairs)
    write_sheets(sheets, cache, root, options.export, target)
    return Exported(cache.path, target, options.export, len(pairs), len(sheets), root)


def _taken(file: Path, cache: ScoreCache, local: Path) -> Review:
    """Take the answers of a file; those that hold already are not written again."""
    answers, name = read_answers(file, cache)
    with AnswerStore(answers_file(local)) as store:
        current = store.current()
        codes = {(of.image, of.label): of.code for of in current}
        new = [of for of in answers if codes.get((of.image, of.label)) != of.code]
        turned = sum((of.image, of.label) in codes for of in new)
        store.give(new)
        again = len(answers) - len(new)
        say(
            f"{counted(len(answers), 'answer')} in {file} ({name}): {len(new) - turned:,} new, {turned:,} in the place of "
            f"another, {again:,} known already"
        )
        return _review(cache.path, store.path, store.current(), len(current))


def require_packages() -> None:
    """Raise AevlpError where what serves the page is not installed."""
    if absent := [name for name in NEEDED if find_spec(name) is None]:
        raise AevlpError(f"the page needs {' and '.join(absent)}: pip install 'aevlp[review]'")


def _review(cache: Path, file: Path, answers: Iterable[Answer], before: int) -> Review:
    of = Counter(answer.code for answer in answers)
    return Review(cache, file, of[POSITIVE], of[NEGATIVE], of[UNKNOWN], of.total() - before)


NEXT = {
    "label-studio": "in Label Studio: the labelling interface is {beside[0]}; for the images start it with "
    "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED=true and LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={root.parent}, and add the local "
    "storage {root} to the project, without a sync; export as JSON",
    "cvat": "in CVAT: make a task with the labels of {beside[0]} (Raw) and the images of {beside[1]}, upload {file} to it as "
    "CVAT 1.1, and set the answer of each tag; export as CVAT for images 1.1",
    "fiftyone": "in FiftyOne: fo.Dataset.from_dir({file!r}, dataset_type=fo.types.FiftyOneDataset); tag questions yes or no, and "
    "export as that again, with export_media=False",
    "csv": "fill in the column answer with yes, no or skip",
}


def show(result: Review | Exported) -> None:
    """Print how many answers there are, where they are, and what to do with them."""
    if isinstance(result, Exported):
        print_result(result.file, f": {counted(result.pairs, 'pair')} of {counted(result.images, 'image')}")
        beside = FORMATS[result.format].files(result.file)[1:]
        root = Path(os.path.abspath(result.root))  # noqa: PTH100, resolve() would follow links
        out.print(NEXT[result.format].format(file=str(result.file), beside=beside, root=root), markup=False)
        out.print(f"then: aevlp review {result.cache} --import FILE")
        return
    print_result(
        result.file,
        f": {counted(result.answers, 'answer')} ({result.yes:,} yes, {result.no:,} no), {result.skipped:,} skipped",
    )
    if result.answers:
        out.print(f"to train with them: aevlp train {result.cache} --corrections {result.file}")
