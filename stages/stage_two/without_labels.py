"""A cache of images of which no label is known -> which losses can learn from it, and by what its training is validated."""

from collections.abc import Sequence

import numpy as np

from ...pipeline import policies
from ...pipeline.errors import AevlpError
from ...pipeline.labels.codes import POSITIVE
from ...pipeline.labels.single_positive import split_train_val
from ...pipeline.losses import TABLE, LossEntry
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.method_names import current, parsed, set_constants
from ...pipeline.policies.labelling import label
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.splits import Split
from .labels_plan import LABELS, PolicyPlan, policy_with
from .learnable import Learnable

POLICIES = (
    "damp",
    "global",
    "vlpl",
    "top-k",
    "sigmoid",
    "label-propagation",
    "ccd",
    "sparc",
    "cdul",
)  # the others need observed labels, or the truth


class NothingToLearn(AevlpError):
    """No label is known of any image, and a policy gives none."""


def has_no_labels(cache: Learnable) -> bool:
    """Return whether nothing is known of what any image shows."""
    return cache.truth is None and not cache.observed.any()


def learners() -> dict[str, str]:
    """Return the losses that learn from a policy's labels alone, by name, each with its own policy."""
    return {name: entry.policy for name, entry in TABLE.items() if _learns(entry)}


def require_learner(name: str, entry: LossEntry, policy: str | None, cache: Learnable) -> None:
    """Raise AevlpError for a loss or a policy that needs observed labels; it names those that learn without any.

    policy: as it is asked for, None for the loss's own.
    """
    if "truth" in entry.reads:
        return  # an upper bound, which needs no observed label
    if not _learns(entry):
        raise AevlpError(
            f"{cache.path}: {_none(cache)}, and the loss {name} learns from observed ones: {_without_any()}"
        )
    asked = current(parsed(policy or entry.policy).name)
    permitted = POLICIES if cache.truth is None else (*POLICIES, "oracle")
    if asked in policies.TABLE and asked not in permitted:
        raise AevlpError(f"{cache.path}: {_none(cache)}, and the policy {asked} needs some: {_without_any()}")


def rows_without_labels(
    cache: ScoreCache, spec: DatasetSpec, there: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of images without labels that are trained on and validated by; there: as below, None for all."""
    rows = np.flatnonzero((cache.status == "ok") & (True if there is None else there))
    parts = split_train_val(len(rows), spec.recipe.val_fraction, compat=cache.provenance["method"]["compat"])
    return rows[parts[0]], rows[parts[1]]


def parts_without_labels(
    cache: ScoreCache, spec: DatasetSpec, there: np.ndarray, settings: Sequence[str] = ()
) -> tuple[Split, Split, Split]:
    """Return the training and validation parts of images without labels, and no test part; the labels to validate by are damp's.

    there: (N,) bool, which rows the data set still lists. settings: constants, each as in damp.threshold=0.2.
    Raises AevlpError for too few images.
    """
    train, val = rows_without_labels(cache, spec, there)
    if not len(train) or not len(val):
        raise AevlpError(
            f"{cache.path}: {len(train) + len(val)} readable images, too few to train on and to validate by: add images"
        )
    policy = policy_with(
        "damp", spec, cache.provenance["method"]["compat"], set_constants(settings).get("damp", {})
    ).create()
    return (
        Split(train, cache.observed[train]),
        Split(val, _positives(cache, val, policy)),
        Split(train[:0], cache.observed[:0]),
    )


def require_some(cache: ScoreCache, train: Split, policy: PolicyPlan) -> None:
    """Raise NothingToLearn, which names what needs no labels, where a policy gives the images to train on no positive."""
    if not _positives(cache, train.rows, policy.create()).any():
        raise _nothing(cache, policy, "to train on")


def validated(cache: ScoreCache, val: Split, policy: PolicyPlan) -> tuple[Split, str]:
    """Return the validation part of images without labels, and the policy whose labels it is evaluated by.

    That is damp's, as `parts_without_labels` has it, and that of the training where damp gives none. Raises NothingToLearn where
    neither gives any.
    """
    if val.truth.any():
        return val, "damp"
    said = _positives(cache, val.rows, policy.create())
    if not said.any():
        raise _nothing(cache, policy, "to validate by")
    return Split(val.rows, said), policy.name


def _nothing(cache: ScoreCache, policy: PolicyPlan, why: str) -> NothingToLearn:
    threshold = policy.constants.get("threshold", policies.constants(policy.name).get("threshold"))
    lower = ""
    if threshold:
        lower = f"lower its threshold, as --set {policy.name}.threshold={min(0.2, threshold / 2):.2g}; or "
    return NothingToLearn(
        f"{cache.path}: {_none(cache)}, and the policy {policy.name} gives none of those {why} a pseudo-label: {lower}"
        f"choose another, as --policy 'top-k[top_k=1]', which gives each image its best class; {_without_any(policy.name)}. "
        f"No image is scored again"
    )


def _positives(cache: ScoreCache, rows: np.ndarray, policy: policies.Policy) -> np.ndarray:
    """Return (n, C) int8, which classes a policy gives some rows."""
    return (label(cache, rows, policy).codes == POSITIVE).astype(np.int8)


def _learns(entry: LossEntry) -> bool:
    reads = set(entry.reads)
    from_labels = bool(LABELS & reads) and entry.policy in POLICIES and "truth" not in reads
    return from_labels and entry.head == "linear" and not entry.negatives


def _none(cache: Learnable) -> str:
    return "no image has a label" if has_no_labels(cache) else "no training image has an observed positive"


def _without_any(tried: str | None = None) -> str:
    *names, last = (name for name in POLICIES if name != tried)
    return f"these learn from pseudo-labels alone: --loss {', '.join(learners())}, with --policy {', '.join(names)} or {last}"
