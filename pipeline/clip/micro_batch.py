"""How many views go through the image tower at a time: on a CPU what its cache likes, on a GPU what its memory holds."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

CPU_PIXELS = 8 * 224 * 224  # with more at a time ViT-B-16 was up to a quarter slower: activations leave the CPU's cache
GPU_VIEWS = 2048
PROBE = 16  # views of the pass by which memory is measured
GPU_SHARE = 0.6  # of the free memory; the rest is for the views of the next batch, and for fragments

T = TypeVar("T")


class PassSize:
    """views: at a time, 0 before the first on a GPU, where it is halved for good when memory does not suffice."""

    def __init__(self, device: torch.device, image_size: int) -> None:
        self._device = device
        self.views = max(8, min(64, CPU_PIXELS // image_size**2)) if device.type == "cpu" else 0

    def over(self, views: Tensor, encode: Callable[[Tensor], T], map_: Callable = map) -> list[T]:
        """Return what `encode` makes of views (n, …), a pass at a time, in order, each view in one pass.

        map_: of threads that share the passes on a CPU. Raises torch.OutOfMemoryError where not even one view fits.
        """
        if self._device.type == "cpu":
            return list(map_(encode, views.split(self.views)))
        results, start = [], 0
        if not self.views:
            results, start = [self._probe(views[:PROBE], encode)], PROBE
        while start < len(views):
            try:
                results.append(encode(views[start : start + self.views]))
                start += self.views
            except torch.OutOfMemoryError:
                if self.views == 1:
                    raise
                self.views //= 2
                torch.cuda.empty_cache()
        return results

    def _probe(self, views: Tensor, encode: Callable[[Tensor], T]) -> T:
        """Encode some views, and take the size from the memory that they needed."""
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        result = encode(views)
        each = max(1, (torch.cuda.max_memory_allocated(self._device) - before) // len(views))
        free, _ = torch.cuda.mem_get_info(self._device)
        self.views = max(1, min(GPU_VIEWS, int(GPU_SHARE * free / each)))
        return result
