"""What test_distributed_training.py runs in each of several processes: a training with a loss that keeps a row for each image.

Usage: python -m torch.distributed.run --standalone --nproc-per-node 2 tests/distributed_training.py FOLDER
Writes FOLDER/RANK.safetensors. Started without torchrun it is the one process that the others are compared with.
"""

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.losses import Targets
from aevlp.pipeline.losses.interface import expected_positive_penalty
from aevlp.pipeline.training.checkpoint import save_tensors
from aevlp.pipeline.training.classifier import Architecture, build
from aevlp.pipeline.training.distributed import Processes, joined
from aevlp.pipeline.training.loop import train_epoch
from aevlp.pipeline.training.state import Progress

ROWS, CLASSES, WIDTH, BATCH = 13, 3, 5, 4  # the last batch is a single row


class Table(torch.nn.Module):
    """A learned and a remembered row for each image, and terms that couple all rows of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.learned = torch.nn.Parameter(torch.linspace(-1, 1, ROWS * CLASSES, dtype=torch.float64).view(ROWS, -1))
        self.register_buffer("remembered", torch.zeros(ROWS, CLASSES, dtype=torch.float64))

    def set_epoch(self, epoch: int, epochs: int) -> None: ...

    def forward(self, logits: torch.Tensor, targets: Targets) -> torch.Tensor:
        remembered: Any = self.remembered
        before = remembered[targets.rows].clone()
        remembered[targets.rows] = 0.5 * before + logits.detach().sigmoid()
        largest = logits.flatten().topk(min(5, logits.numel())).values
        rows = ((logits - self.learned[targets.rows] - before) ** 2).sum(dim=1)
        return rows.mean() + largest.logsumexp(0) + expected_positive_penalty(logits, 1.5)


def train(processes: Processes) -> dict[str, torch.Tensor]:
    """Train for two epochs in float64; return weights, tables, losses, and which rows this process was given."""
    torch.manual_seed(processes.rank.number)  # the first process's weights are everybody's
    inputs = torch.from_numpy(np.random.default_rng(0).normal(size=(ROWS, WIDTH)))
    classifier = build(Architecture("linear", WIDTH, 0, (), (), True), CLASSES).double()
    if processes.first:
        torch.nn.init.constant_(classifier.head.weight, 0.1)
        torch.nn.init.zeros_(classifier.head.bias)
    learning, loss = processes.learning(classifier, torch.device("cpu")), Table()
    optimizer = torch.optim.SGD([*classifier.parameters(), *loss.parameters()], lr=0.05)
    scaler, given, losses = torch.amp.GradScaler("cpu", enabled=False), [], []

    def batches(order: np.ndarray):
        for start in range(0, ROWS, BATCH):
            rows = order[start : start + BATCH]
            own = rows[processes.share(len(rows))]
            given.extend(own.tolist())
            yield rows, inputs[torch.from_numpy(own if len(own) else rows[:1])]

    for epoch in (1, 2):
        progress, order = Progress(epoch), np.random.default_rng(epoch).permutation(ROWS)
        train_epoch(
            learning,
            batches(order),
            lambda rows, _: Targets(observed=torch.zeros(len(rows), CLASSES), rows=torch.from_numpy(rows)),
            loss,
            optimizer,
            scaler,
            nullcontext(),
            progress,
            processes,
        )
        losses.append(progress.mean_loss())
    return {
        **{name: value.clone() for name, value in classifier.state_dict().items()},
        **loss.state_dict(),
        "losses": torch.tensor(losses, dtype=torch.float64),
        "given": torch.tensor(given),
    }


def talk(processes: Processes) -> dict[str, Any]:
    """Return what the processes agree on, and how they leave a block in which one of them met an error."""
    own = processes.rank.number
    said = processes.said_by_first(f"from {own}: ü")
    voted = processes.any(own == 1, False, own == 0)
    share = processes.share(5)
    rows = processes.rows(torch.arange(10.0).view(5, 2)[share], 5)
    left = []
    for mistaken in ((1,), (0, 1), ()):
        try:
            with processes.together():
                if own in mistaken:
                    raise AevlpError("a mistake")
            left.append("went on")
        except (AevlpError, SystemExit) as ending:
            left.append(f"{type(ending).__name__} {ending}")
    return {"said": said, "voted": list(voted), "rows": rows.tolist(), "left": left}


if __name__ == "__main__":
    with joined() as processes:
        described = talk(processes)
        save_tensors(Path(sys.argv[1]) / f"{processes.rank.number}.safetensors", train(processes), described)
