"""A cache of images of which no label is known -> which losses can learn from it, and by what its training is validated."""

from collections.abc import Sequence

import numpy as np

from ...pipeline.errors import AevlpError
from ...pipeline.labels.codes import POSITIVE
from ...pipeline.labels.single_positive import split_train_val
from ...pipeline.losses import TABLE, LossEntry
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.method_names import set_constants
from ...pipeline.policies.labelling import label
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.splits import Split
from .labels_plan import LABELS, policy_with

POLICIES = ("damp", "global", "vlpl", "top-k", "label-propagation")  # the others need observed labels, or the truth


class NothingToLearn(AevlpError):
    """No label is known of any image, and the scores give none."""


def has_no_labels(cache: ScoreCache) -> bool:
    """Return whether nothing is known of what any image shows."""
    return cache.truth is None and not cache.observed.any()


def learners() -> dict[str, str]:
    """Return the losses that learn from a policy's labels alone, by name, each with its own policy."""
    return {name: entry.policy for name, entry in TABLE.items() if _learns(entry)}


def require_learner(name: str, entry: LossEntry, cache: ScoreCache) -> None:
    """Raise AevlpError for a loss that learns from observed labels alone; it names those that learn without any."""
    if _learns(entry):
        return
    raise AevlpError(
        f"{cache.path}: no image has a label, and the loss {name} learns from observed ones: these learn from pseudo-labels "
        f"alone: --loss {', '.join(learners())}, with --policy {', '.join(POLICIES[:-1])} or {POLICIES[-1]}"
    )


def parts_without_labels(
    cache: ScoreCache, spec: DatasetSpec, there: np.ndarray, settings: Sequence[str] = ()
) -> tuple[Split, Split, Split]:
    """Return the training and validation parts of images without labels, and no test part; the labels to validate by are damp's.

    there: (N,) bool, which rows the data set still lists. settings: constants, each as in damp.threshold=0.2.
    Raises AevlpError for too few images, NothingToLearn where no image to train on has a pseudo-label.
    """
    rows = np.flatnonzero((cache.status == "ok") & there)
    compat = cache.provenance["method"]["compat"]
    train, val = (rows[part] for part in split_train_val(len(rows), spec.recipe.val_fraction, compat=compat))
    if not len(train) or not len(val):
        raise AevlpError(
            f"{cache.path}: {len(rows)} readable images, too few to train on and to validate by: add images"
        )
    policy = policy_with("damp", spec, compat, set_constants(settings).get("damp", {})).create()
    if not (label(cache, train, policy).codes == POSITIVE).any():
        raise NothingToLearn(
            f"{cache.path}: no image has a label, and none a pseudo-label: lower `threshold` or `temperature` under `damp` in "
            f"the manifest entry of {spec.name}, or try it with --set damp.threshold=0.2; no image is scored again. Or give some "
            f"labels in a table"
        )
    said = (label(cache, val, policy).codes == POSITIVE).astype(np.int8)
    return Split(train, cache.observed[train]), Split(val, said), Split(rows[:0], cache.observed[:0])


def _learns(entry: LossEntry) -> bool:
    reads = set(entry.reads)
    from_labels = bool(LABELS & reads) and entry.policy in POLICIES and "truth" not in reads
    return from_labels and entry.head == "linear" and not entry.negatives
