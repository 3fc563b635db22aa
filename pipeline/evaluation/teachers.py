"""A cache, rows of it and policies -> what their cosines say without any training: the teachers of a classifier.

A new one is a line in `TEACHERS`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import AevlpError
from ..policies import Policy
from ..policies.interface import VIEWS
from ..policies.labelling import block_scores, set_scores, view_blocks
from ..score_cache import ScoreCache
from .metrics import precision_of_each

WHOLE_IMAGE, MULTI_FOCUS, SIGMOID = "whole image", "multi-focus", "sigmoid"
FEW = 64  # images that show whether a policy scores at all

Scorer = Callable[[np.ndarray, np.ndarray | None], np.ndarray]


@dataclass(frozen=True)
class Teacher:
    """A way to read cosines as scores of classes.

    scorer: a cache and a policy -> the function from cosines (n, V, C) and, where a policy reads them,
    the views' vectors (n, V, D), to scores (n, C), higher is more likely; None where the
    cache has no such teacher. of_policy: whether the policy has a part in it.
    """

    scorer: Callable[[ScoreCache, Policy], Scorer | None]
    of_policy: bool = False


def _whole_image(cache: ScoreCache, policy: Policy) -> Scorer:
    return lambda similarity, _: similarity[:, 0]


def _multi_focus(cache: ScoreCache, policy: Policy) -> Scorer:
    def scores(similarity: np.ndarray, view_embedding: np.ndarray | None) -> np.ndarray:
        # Of images to evaluate by nothing is observed: their labels are what is asked for, and a gate would read them.
        observed = np.zeros((len(similarity), similarity.shape[2]), dtype=np.int8)
        return block_scores(cache, policy, similarity, view_embedding, observed)[0]

    return scores


def _sigmoid(cache: ScoreCache, policy: Policy) -> Scorer | None:
    """The highest logit of any view; None where the model was trained with a softmax, and so has no bias."""
    logits = cache.provenance.get("logits")
    if logits is None or logits["bias"] is None:
        return None
    # In the order of their probabilities, without the ties of those that round to 0.
    return lambda similarity, _: logits["scale"] * similarity.max(axis=1) + logits["bias"]


TEACHERS = {
    WHOLE_IMAGE: Teacher(_whole_image),
    MULTI_FOCUS: Teacher(_multi_focus, of_policy=True),
    SIGMOID: Teacher(_sigmoid),
}


class TeacherScores:
    """Takes cosines of some rows block by block and keeps their scores.

    found: for each policy the scores (n, C) float32 by the name of each teacher; what no policy has a part in is one array for
    all of them.
    """

    def __init__(self, cache: ScoreCache, rows: np.ndarray, policies: Sequence[Policy]) -> None:
        """rows: (n,) ascending numbers of rows that are "ok", AevlpError for others."""
        self.rows = np.asarray(rows, dtype=np.int64)
        if (np.diff(self.rows) <= 0).any() or (cache.status[self.rows] != "ok").any():
            raise AevlpError("the rows to score must ascend, each named once, and be of images that could be read")
        self.found: list[dict[str, np.ndarray]] = [{} for _ in policies]
        self._scorers: list[tuple[Scorer, np.ndarray]] = []
        for name, teacher in TEACHERS.items():
            for number, policy in enumerate(policies):
                if number and not teacher.of_policy:
                    self.found[number] |= {name: self.found[0][name]} if name in self.found[0] else {}
                elif (scorer := teacher.scorer(cache, policy)) is not None:
                    self.found[number][name] = np.empty((len(self.rows), len(cache.classes)), dtype=np.float32)
                    self._scorers.append((scorer, self.found[number][name]))

    def __call__(self, numbers: np.ndarray, similarity: np.ndarray, view_embedding: np.ndarray | None = None) -> None:
        """Score a block: numbers of some of the rows (n,), and of their views the cosines (n, V, C) and vectors (n, V, D)."""
        places = np.searchsorted(self.rows, numbers)
        for scorer, scores in self._scorers:
            scores[places] = scorer(similarity, view_embedding)


def teacher_scores(cache: ScoreCache, rows: np.ndarray, policies: Sequence[Policy]) -> list[dict[str, np.ndarray]]:
    """Return for each policy the scores (n, C) float32 of some rows by the name of each teacher; no observed label is read.

    "whole image" is the cosine of view 0, "multi-focus" the policy's own score, of all views or of what it reads instead,
    "sigmoid", of a sigmoid-scored model alone, the highest logit of any view, all of cosines that are the mean over the flips.
    The cosines are read once, block by block, whatever the number of policies.
    rows: (n,) ascending numbers of rows that are "ok", AevlpError for others.
    """
    scores = TeacherScores(cache, rows, policies)
    embeddings = any(VIEWS in policy.reads for policy in policies)
    for numbers, similarity, view_embedding in view_blocks(cache, scores.rows, embeddings=embeddings):
        scores(numbers, similarity, view_embedding)
    for found, policy in zip(scores.found, policies, strict=True):
        if (of_set := set_scores(cache, scores.rows, policy)) is not None:
            found[MULTI_FOCUS] = of_set
    return scores.found


def has_scores(cache: ScoreCache, rows: np.ndarray, policy: Policy) -> bool:
    """Return whether a policy scores images by their cosines: some label by predictions or the truth, and score all alike.

    rows: as for `teacher_scores`, of which the first few are looked at. Raises AevlpError where they are too few to be a set.
    """
    if set_scores(cache, rows, policy) is not None:
        return True
    _, similarity, view_embedding = next(view_blocks(cache, rows[:FEW], embeddings=VIEWS in policy.reads))
    scores = _multi_focus(cache, policy)(similarity, view_embedding)
    return bool((scores != scores.flat[0]).any())


def teacher_map(scores: np.ndarray, truth: np.ndarray) -> float:
    """Return `mean_average_precision` of scores (n, C), of which one class at a time is held in double precision."""
    return float(precision_of_each(scores, truth).mean())
