"""Row numbers -> batches of classifier inputs on the device: pixels decoded by workers, or cached embeddings.

Both kinds have one method, `batches(rows, batch_size, mirrored)`, which yields the rows in the order given, each once.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from .errors import AevlpError, ImageError
from .images import read_image
from .views import view_bytes


class Inputs(Protocol):
    """Where a classifier's inputs come from."""

    def batches(
        self, rows: np.ndarray, batch_size: int, mirrored: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield (row numbers, inputs on the device); mirrored: (len(rows),) bool, None for none of them."""
        ...


class PixelInputs:
    """Images stretched to (B, 3, size, size), normalised on the device; the flip comes after the resize."""

    def __init__(
        self,
        paths: Sequence[Path],
        size: int,
        upright: bool,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        workers: int,
    ) -> None:
        self._dataset = _Resized(paths, size, upright)
        self._device, self._workers = device, workers
        self._mean, self._std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (mean, std))
        self._loaders: dict[int, tuple[_Order, DataLoader]] = {}  # one a batch size, whose workers live on

    def batches(
        self, rows: np.ndarray, batch_size: int, mirrored: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        order, loader = self._loader(batch_size)
        order.rows = rows.tolist()
        flips = np.zeros(len(rows), dtype=bool) if mirrored is None else mirrored
        start = 0
        for errors, numbers, pixels in loader:
            if errors:
                raise AevlpError(f"an image that was scored cannot be read any more: {errors[0]}")
            flip = torch.from_numpy(flips[start : start + len(numbers)]).to(self._device)
            start += len(numbers)
            pixels = (pixels.to(self._device, non_blocking=True).float() / 255 - self._mean) / self._std
            yield numbers, torch.where(flip.view(-1, 1, 1, 1), pixels.flip(-1), pixels)

    def _loader(self, batch_size: int) -> tuple["_Order", DataLoader]:
        if batch_size not in self._loaders:
            order = _Order()
            loader = DataLoader(
                self._dataset,
                batch_size,
                sampler=order,
                num_workers=self._workers,
                collate_fn=_collate,
                persistent_workers=self._workers > 0,
                pin_memory=self._device.type == "cuda",
            )
            self._loaders[batch_size] = order, loader
        return self._loaders[batch_size]


class EmbeddingInputs:
    """The whole images' cached unit vectors (B, D), plain or mirrored; no image is opened."""

    def __init__(self, embedding: np.ndarray, device: torch.device) -> None:
        """embedding: (N, F, D) float32."""
        self._embedding = torch.from_numpy(embedding).to(device)

    def batches(
        self, rows: np.ndarray, batch_size: int, mirrored: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        flips = np.zeros(len(rows), dtype=np.int64) if mirrored is None else mirrored.astype(np.int64)
        for start in range(0, len(rows), batch_size):
            here = slice(start, start + batch_size)
            yield rows[here], self._embedding[torch.from_numpy(rows[here]), torch.from_numpy(flips[here])]


class _Resized(Dataset):
    def __init__(self, paths: Sequence[Path], size: int, upright: bool) -> None:
        self.paths, self.size, self.upright = list(paths), size, upright

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[int, Tensor | str]:
        try:
            image = read_image(self.paths[row], self.upright)
        except ImageError as error:
            return row, str(error)
        pixels = view_bytes(image, (0, 0, *image.size), self.size)
        return row, torch.from_numpy(pixels.transpose(2, 0, 1).copy())


class _Order(Sampler[int]):
    """The rows of the next pass over a loader."""

    def __init__(self) -> None:
        self.rows: list[int] = []

    def __iter__(self) -> Iterator[int]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


def _collate(items: list[tuple[int, Tensor | str]]) -> tuple[list[str], np.ndarray, Tensor]:
    errors = [value for _, value in items if isinstance(value, str)]
    pixels = [value for _, value in items if isinstance(value, Tensor)]
    return errors, np.array([row for row, _ in items]), torch.stack(pixels) if pixels else torch.empty(0)
