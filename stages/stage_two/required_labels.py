"""A loss, a policy and images with their labels -> AevlpError where the first two cannot learn from the last."""

import numpy as np

from ...pipeline import policies
from ...pipeline.errors import AevlpError
from ...pipeline.labels.codes import NEGATIVE, POSITIVE
from ...pipeline.losses import LossEntry
from ...pipeline.manifest.formats import DatasetSpec
from ...pipeline.method_names import FILE, MethodName, current, parsed
from .labels_plan import LABELS, required_constants
from .learnable import Learnable
from .without_labels import require_learner


def require_labels(
    loss: MethodName, entry: LossEntry, policy: str | None, images: Learnable, train: np.ndarray
) -> None:
    """Raise AevlpError where images have not the labels that a loss learns from.

    policy: as it is asked for, None for the loss's own. train: numbers of the rows to learn from.
    """
    observed = images.observed[train]
    if not (observed == POSITIVE).any():
        require_learner(loss.name, entry, policy, images)
    if "truth" in entry.reads and images.truth is None:
        raise AevlpError(f"loss {loss} needs full labels, and {images.path} has none: pass another --loss, such as gpr")
    if entry.negatives and not (observed == NEGATIVE).any():
        raise AevlpError(
            f"loss {loss} learns from observed negatives, and {images.path} has none: score the images with "
            f"--simulate, as in --simulate counts,positives=1,negatives=1, or choose another loss"
        )


def require_methods(
    loss: MethodName, entry: LossEntry, policy: str | None, images: Learnable, train: np.ndarray, spec: DatasetSpec
) -> None:
    """Raise AevlpError as `require_labels` does, and where images lack what a policy reads besides.

    A policy from a file is left to training, which knows the cache that it was fitted on.
    """
    require_labels(loss, entry, policy, images, train)
    if not LABELS & set(entry.reads):
        return
    named = parsed(policy or entry.policy)
    if not named.name.endswith(FILE):
        name = current(named.name)
        policies.check_name(name)
        required_constants(name, spec, images, named.constants)
