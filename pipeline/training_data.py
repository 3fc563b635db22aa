"""Row numbers -> batches of classifier inputs on the device: pixels decoded by workers, or cached embeddings.

Both kinds have one method, `batches(rows, sizes, mirrored)`, which yields the rows in the order given, each once.
"""

import signal
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
        self, rows: np.ndarray, sizes: int | Sequence[int], mirrored: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield (row numbers, inputs on the device).

        sizes: of every batch but the last, or of each. mirrored: (len(rows),) bool, None for none of them.
        """
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
        self._device = device
        self._mean, self._std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (mean, std))
        self._order = _Order()
        self._loader = DataLoader(
            self._dataset,
            batch_sampler=self._order,
            num_workers=workers,
            collate_fn=_collate,
            persistent_workers=workers > 0,  # they live on from pass to pass
            pin_memory=device.type == "cuda",
            worker_init_fn=_leave_signals_to_the_parent,
            generator=torch.Generator(),  # a pass must not draw from the global one: dropout would differ after a resume
        )

    def batches(
        self, rows: np.ndarray, sizes: int | Sequence[int], mirrored: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        self._order.batches = [rows[here].tolist() for here in _slices(len(rows), sizes)]
        flips = np.zeros(len(rows), dtype=bool) if mirrored is None else mirrored
        start = 0
        for errors, numbers, pixels in self._loader:
            if errors:
                raise AevlpError(f"an image that was scored cannot be read any more: {errors[0]}")
            flip = torch.from_numpy(flips[start : start + len(numbers)]).to(self._device)
            start += len(numbers)
            pixels = (pixels.to(self._device, non_blocking=True).float() / 255 - self._mean) / self._std
            yield numbers, torch.where(flip.view(-1, 1, 1, 1), pixels.flip(-1), pixels)


class EmbeddingInputs:
    """The whole images' cached unit vectors (B, D), plain or mirrored; no image is opened."""

    def __init__(self, embedding: np.ndarray, device: torch.device) -> None:
        """embedding: (N, F, D) float32."""
        self._embedding = torch.from_numpy(embedding).to(device)

    def batches(
        self, rows: np.ndarray, sizes: int | Sequence[int], mirrored: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        flips = np.zeros(len(rows), dtype=np.int64) if mirrored is None else mirrored.astype(np.int64)
        for here in _slices(len(rows), sizes):
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


class _Order(Sampler[list[int]]):
    """The batches of the next pass over a loader."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _slices(n: int, sizes: int | Sequence[int]) -> list[slice]:
    ends = list(range(sizes, n + sizes, sizes)) if isinstance(sizes, int) else np.cumsum(sizes).tolist()
    return [slice(*pair) for pair in zip([0, *ends], ends, strict=False)]


def _leave_signals_to_the_parent(_: int) -> None:
    """Go on decoding for the step in flight where a signal goes to all processes, as Ctrl-C does; the parent ends this one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: signal.alarm(30))  # where the parent does not end it


def _collate(items: list[tuple[int, Tensor | str]]) -> tuple[list[str], np.ndarray, Tensor]:
    errors = [value for _, value in items if isinstance(value, str)]
    pixels = [value for _, value in items if isinstance(value, Tensor)]
    return errors, np.array([row for row, _ in items]), torch.stack(pixels) if pixels else torch.empty(0)
