"""An epoch's rows and labels -> batches and targets on the device, each process its share of a batch."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ..losses import Targets
from ..policies import Labels
from ..score_cache import ScoreCache
from .classifier import Outputs
from .distributed import Processes
from .inputs import Inputs, sent
from .other_views import Views, fed_with_others, views_read


def epoch_batches(
    inputs: Inputs,
    rows: np.ndarray,
    mirrored: np.ndarray,
    chance: np.ndarray,
    size: int,
    done: int,
    processes: Processes,
    reads: Sequence[str],
) -> Iterator[tuple[np.ndarray, Tensor | Views]]:
    """Yield what is left of an epoch: each whole batch's rows, and the inputs of this process's share of it.

    rows, mirrored: of the whole epoch, in its order. chance: likewise, as for `fed_with_others`. size: rows a batch. done: how
    many batches are trained on already. reads: what the loss reads of the targets; other views of the images come with them.
    An empty share has the batch's first image in its place, because not every backbone takes an empty batch.
    """
    numbers = np.arange(len(rows))
    batches = [numbers[start : start + size] for start in range(0, len(rows), size)][done:]
    shares = [batch[processes.share(len(batch))] for batch in batches]
    shown = [share if len(share) else batch[:1] for share, batch in zip(shares, batches, strict=True)]
    if batches:
        own = np.concatenate(shown)
        loaded = inputs.batches(rows[own], [len(share) for share in shown], mirrored[own])
        fed = fed_with_others(inputs, rows, mirrored, chance, views) if (views := views_read(reads)) else None
        for batch, share, (_, own_inputs) in zip(batches, shown, loaded, strict=True):
            yield rows[batch], own_inputs if fed is None else fed(share, own_inputs)


def epoch_targets(
    cache: ScoreCache,
    rows: np.ndarray,
    reads: Sequence[str],
    labels: Labels | None,
    device: torch.device,
    processes: Processes,
) -> Callable[[np.ndarray, Outputs], Targets]:
    """Return row numbers of a batch, and outputs -> targets on the device, with the labels of this epoch.

    rows: of the training split, in order. reads: what the loss reads of the targets. labels: of the policy for these rows.
    All that is known goes to the device here: a step that waited for it would leave a GPU idle.
    """
    known: dict[str, np.ndarray] = {"observed": cache.observed[rows]}
    if "truth" in reads:
        known["truth"] = np.asarray(cache.truth)[rows]
    if labels is not None:
        known |= {"pseudo": labels.codes, "scores": labels.scores}
    there = {
        name: torch.from_numpy(values).to(device) for name, values in known.items() if name in (*reads, "observed")
    }

    def targets(batch: np.ndarray, outputs: Outputs) -> Targets:
        here, n = sent(np.searchsorted(rows, batch), device), len(batch)
        of: dict = {**{name: values[here] for name, values in there.items()}, "rows": here}
        if "features" in reads:
            of["features"] = processes.whole_batch(outputs.features, n)
        if "latent" in reads and outputs.latent is not None:
            of["latent"] = tuple(processes.whole_batch(part, n) for part in outputs.latent)
        if "mirrored" in reads and outputs.mirrored is not None:
            of["mirrored"] = processes.whole_batch(outputs.mirrored.logits, n)
        if "mirrored_features" in reads and outputs.mirrored is not None:
            of["mirrored_features"] = processes.whole_batch(outputs.mirrored.features, n)
        if "strong" in reads and outputs.strong is not None:
            of["strong"] = processes.whole_batch(outputs.strong.logits, n)
        return Targets(**of)

    return targets
