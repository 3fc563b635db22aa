"""The other views of a batch's images that a loss reads: which, how they are fed, and what a classifier makes of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from .classifier import Outputs
from .inputs import Inputs

MIRRORED, STRONG = "mirrored", "strong"
READ_BY = {
    "mirrored": MIRRORED,
    "mirrored_features": MIRRORED,
    "strong": STRONG,
}  # a field of targets -> the view it is of


def views_read(reads: Sequence[str]) -> tuple[str, ...]:
    """Return which other views a loss reads, of the names of what it reads of the targets; most read none."""
    return tuple(dict.fromkeys(READ_BY[name] for name in reads if name in READ_BY))


@dataclass(frozen=True)
class Views:
    """A classifier's inputs for the same images: as they are trained on, mirrored, and strongly changed; None is not read."""

    own: Tensor
    mirrored: Tensor | None = None
    strong: Tensor | None = None

    def __len__(self) -> int:
        return len(self.own)

    def __getitem__(self, images: slice) -> "Views":
        others = (None if view is None else view[images] for view in (self.mirrored, self.strong))
        return Views(self.own[images], *others)


def fed_with_others(
    inputs: Inputs, rows: np.ndarray, mirrored: np.ndarray, chance: np.ndarray, views: Sequence[str]
) -> Callable[[np.ndarray, Tensor], Views]:
    """Return places in the epoch (b,) and what is fed of them -> the same with the other views.

    rows, mirrored, chance: of the whole epoch; `chance` in [0, 1) says which strong view an image has, so that a resumed run, and
    any number of processes, see the same.
    """
    strong = inputs.strong(rows, chance) if STRONG in views else None

    def fed(places: np.ndarray, own: Tensor) -> Views:
        other = inputs.mirror(rows[places], own, mirrored[places]) if MIRRORED in views else None
        return Views(own, other, None if strong is None else strong(places, own))

    return fed


def seen(classifier: nn.Module, inputs: Tensor | Views) -> Outputs:
    """Return what a classifier makes of a batch, and of its other views where there are some.

    The mirrored view is a teacher, without a gradient. It goes first, because a pass of several processes begins with
    equal buffers, which a gradient that is still to come would not survive. The strong view has a gradient and goes through the
    classifier together with the batch, as one.
    """
    if isinstance(inputs, Tensor):
        return classifier(inputs, all_outputs=True)
    mirrored = None
    if inputs.mirrored is not None:
        with torch.no_grad():
            mirrored = classifier(inputs.mirrored, all_outputs=True)
    if inputs.strong is None:
        return classifier(inputs.own, all_outputs=True)._replace(mirrored=mirrored)
    both = classifier(torch.cat([inputs.own, inputs.strong]), all_outputs=True)
    n = len(inputs)
    return _part(both, slice(n))._replace(mirrored=mirrored, strong=_part(both, slice(n, None)))


def _part(outputs: Outputs, images: slice) -> Outputs:
    latent = outputs.latent and (outputs.latent[0][images], outputs.latent[1][images])
    return Outputs(outputs.logits[images], outputs.features[images], latent)
