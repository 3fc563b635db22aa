"""Batch normalisation over the images of all processes, on a CPU too, where torch's own SyncBatchNorm does not work."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


class SharedStatistics:
    """Makes a batch normalisation, whose class it is put before, normalise by the images of all processes while it trains.

    A process without an image, (0, C, …), takes part too. Activations that timm puts into such a layer are kept.
    """

    def forward(self: Any, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)  # type: ignore[misc]
        over = [0, *range(2, x.ndim)]
        shape = (1, -1, *(1 for _ in over[1:]))
        count = torch.tensor(x.numel() // x.shape[1], dtype=torch.float64)
        dist.all_reduce(count)
        mean = (_Sum.apply(x.sum(over, dtype=torch.float64)) / count).to(x.dtype)
        centered = x - mean.view(shape)
        variance = (_Sum.apply(centered.square().sum(over, dtype=torch.float64)) / count).to(x.dtype)
        if self.track_running_stats:
            self.num_batches_tracked += 1
            share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
            with torch.no_grad():
                unbiased = variance * (count / (count - 1).clamp(min=1)).to(x.dtype)
                self.running_mean.lerp_(mean, share)
                self.running_var.lerp_(unbiased, share)
        normal = centered * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return self.act(self.drop(normal)) if hasattr(self, "act") else normal


def share_statistics(classifier: nn.Module) -> None:
    """Let all batch normalisations of a classifier share their statistics; its weights and their names stay as they are."""
    for module in classifier.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            kind = type(module)
            module.__class__ = type(f"Shared{kind.__name__}", (SharedStatistics, kind), {})


class _Sum(torch.autograd.Function):
    """The sum of a tensor over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, own: Tensor) -> Tensor:
        total = own.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
