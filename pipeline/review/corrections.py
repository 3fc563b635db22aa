"""Answers about pairs of image and class -> a cache whose observed labels they correct."""

import hashlib
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AevlpError, Notice, counted, some
from ..files.stamps import stamped_size
from ..labels.codes import POSITIVE, UNKNOWN
from ..score_cache import ScoreCache
from .answer_table import answer_table, read_answer_table
from .answers import SUFFIX, Answer, AnswerStore


@dataclass(frozen=True)
class Corrections:
    """The answers that were read from a file, each pair once, without those that were skipped; sorted by image and class."""

    path: Path
    answers: tuple[Answer, ...]

    @cached_property
    def table(self) -> str:
        """The answers as `read_answer_table` reads them: equal answers, equal text."""
        return answer_table(self.answers)

    @cached_property
    def record(self) -> dict[str, Any]:
        """What a run or a report keeps of them: how many, and the SHA-256 of their table."""
        return {"answers": len(self.answers), "sha256": hashlib.sha256(self.table.encode()).hexdigest()}


def read_corrections(path: Path) -> Corrections:
    """Return the answers of a file of `aevlp review`, or of a table with the columns image, class and answer (.csv).

    Raises AevlpError where it is not there, holds no answer, or is something else.
    """
    if not path.is_file():
        raise AevlpError(f"no file of answers {path}: aevlp review CACHE makes one beside the cache")
    if path.suffix == ".csv":
        answers = read_answer_table(path)
    elif path.name.endswith(SUFFIX) or path.suffix == ".sqlite":
        with AnswerStore(path) as store:
            answers = store.current()
    else:
        raise AevlpError(f"{path}: expected a file of aevlp review, which ends in {SUFFIX}, or a .csv file")
    known = [answer for answer in answers if answer.code != UNKNOWN]
    if not known:
        raise AevlpError(f"{path} holds no answer yet: answer some pairs with aevlp review CACHE")
    return Corrections(path, tuple(sorted(known, key=lambda answer: (answer.image, answer.label))))


def corrected(cache: ScoreCache, corrections: Corrections) -> "CorrectedCache":
    """Return a cache whose observed labels are those that were answered, and all others its own.

    Raises AevlpError where an answer is about a class that the cache has not, or where the cache has none of the images. Answers
    about images that it does not hold, or whose file had another size when it was answered, are left out, with a Notice.
    """
    row_of = {name: row for row, name in enumerate(cache.ids.tolist())}
    column_of = {name: column for column, name in enumerate(cache.classes)}
    if unknown := sorted({answer.label for answer in corrections.answers} - set(column_of)):
        raise AevlpError(
            f"{corrections.path} has answers about {some(unknown, 5)}, which {cache.path} has no class for: they were given for "
            f"another cache"
        )
    here = [answer for answer in corrections.answers if answer.image in row_of]
    if not here:
        raise AevlpError(
            f"none of the images that {corrections.path} has answers about, first {corrections.answers[0].image}, is in "
            f"{cache.path}: they were given for another cache"
        )
    _notice_others(cache, corrections, len(here))
    sizes = [stamped_size(cache.stamps[row_of[answer.image]]) for answer in here]
    fits = [answer.size is None or answer.size == size for answer, size in zip(here, sizes, strict=True)]
    if left := [answer.image for answer, same in zip(here, fits, strict=True) if not same]:
        warnings.warn(
            f"{counted(len(left), 'answer')} of {corrections.path} left out: the image has another size than when it was "
            f"answered, first {left[0]}",
            Notice,
            stacklevel=2,
        )
    kept = [answer for answer, same in zip(here, fits, strict=True) if same]
    rows = np.array([row_of[answer.image] for answer in kept], dtype=np.int64)
    columns = np.array([column_of[answer.label] for answer in kept], dtype=np.int64)
    return CorrectedCache(cache, rows, columns, np.array([answer.code for answer in kept], dtype=np.int8))


class CorrectedCache(ScoreCache):
    """A cache with some observed labels replaced; its fingerprint stays that of the cache, as its scores do.

    rows, columns: (n,), where the answers are. answered: (n,) int8, what they are. uncorrected: the cache as it was.
    """

    def __init__(self, cache: ScoreCache, rows: np.ndarray, columns: np.ndarray, answered: np.ndarray) -> None:
        super().__init__(cache.path, cache._store)
        self.answered_rows, self.answered_columns, self.answered = rows, columns, answered
        self.uncorrected = cache

    @cached_property
    def observed(self) -> np.ndarray:
        observed = self.uncorrected.observed.copy()
        observed[self.answered_rows, self.answered_columns] = self.answered
        return observed

    @cached_property
    def fingerprint(self) -> str:
        return self.uncorrected.fingerprint

    @property
    def labelled(self) -> np.ndarray:
        """Which images came with a label, (N,) bool; where none did, those of which a class was answered to be there.

        An answer does not move an image into the validation or test part: of all that was not asked, it would count as absent.
        """
        came = self.uncorrected.labelled
        return came if came.any() else (self.observed == POSITIVE).any(axis=1)

    def answers_of(self, rows: np.ndarray) -> str:
        """Return how many answers are about images (n,), in words, and how many turn an observed label round.

        And how many are about other images, as those that a training holds out to validate by.
        """
        here = np.isin(self.answered_rows, rows)
        others = len(here) - int(here.sum())
        answered = self.answered[here]
        before = self.uncorrected.observed[self.answered_rows[here], self.answered_columns[here]]
        turned = int(((before != UNKNOWN) & (before != answered)).sum())
        present = int((answered == POSITIVE).sum())
        return (
            f"{counted(len(answered), 'label')} answered in review: {present:,} present, {len(answered) - present:,} absent"
            f"{f', {turned:,} of them against what was observed' * bool(turned)}"
            f"{'; ' + counted(others, 'answer') + ' about images held out to validate or test by' if others else ''}"
        )

    def labels(self, name: str, rows: Any) -> np.ndarray:
        return self.observed[self._numbers(rows)] if name == "observed" else super().labels(name, rows)


def _notice_others(cache: ScoreCache, corrections: Corrections, here: int) -> None:
    if others := len(corrections.answers) - here:
        warnings.warn(
            f"{counted(others, 'answer')} of {corrections.path} are about images that {cache.path} does not hold: left out",
            Notice,
            stacklevel=3,
        )
