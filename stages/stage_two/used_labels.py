"""Which labels a training uses, in words: those that are given, and those that a policy adds."""

import numpy as np

from ...pipeline.labels.added import AddedLabels
from ...pipeline.labels.usage import label_use
from ...pipeline.review.corrections import CorrectedCache
from ...pipeline.score_cache import ScoreCache
from ...pipeline.score_cache.provenance import simulation_of
from .labels_plan import PolicyPlan


def labels_used(cache: ScoreCache, rows: np.ndarray) -> str:
    """Return how many labels an image of some rows are used, and why not all; and how many were answered in their place."""
    truth = None if cache.truth is None else cache.truth[rows]
    answered = ""
    if isinstance(cache, CorrectedCache):
        answered = f"; {cache.answers_of(rows)}"
        cache = cache.uncorrected
    return f"{label_use(cache.observed[rows], truth, simulation_of(cache.provenance)).text}{answered}"


def pseudo_labels_used(loss: str, policy: PolicyPlan | None, added: AddedLabels | None) -> str:
    """Return how many pseudo-labels were used in the latest epoch; "" where no epoch was trained by this process.

    policy: None where the loss reads no labels of one.
    """
    if policy is None:
        return f"no pseudo-labels used: loss {loss} reads none"
    if added is None:
        return ""
    return (
        f"pseudo-labels used (of {policy.name}, latest epoch): {added.positives:,} positives and {added.negatives:,} negatives, "
        f"on {added.labelled:,} of {added.of:,} training images"
    )
