"""Row numbers -> batches of classifier inputs on the device: pixels decoded by workers, or cached embeddings.

Both kinds have one method, `batches(rows, sizes, mirrored)`, which yields the rows in the order given, each once.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ..errors import AevlpError, ImageError
from ..files.image_formats import MAX_PIXELS
from ..files.stamps import stamp
from ..images.decoders import fastest
from ..images.image_cache import ImageCache
from ..images.read import Unreadable, read_pixels
from ..images.resizing import EXACT, resized_image
from ..images.worker_loading import handed_over, loader
from .strong_views import changed_strongly

Tiles = Callable[[np.ndarray, np.ndarray], np.ndarray]  # rows, and chances in [0, 1) -> a tile's vector of each, (n, D)
EVALUATION_BATCH, GPU_EVALUATION_BATCH = 64, 256
BATCH_BYTES = 64 << 20  # of the pixels of a batch to evaluate by: each worker holds some in shared memory


class Inputs(Protocol):
    """Where a classifier's inputs come from. evaluation_batch: how many at a time to evaluate it by."""

    evaluation_batch: int

    def batches(
        self, rows: np.ndarray, sizes: int | Sequence[int], mirrored: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        """Yield (row numbers, inputs on the device).

        sizes: of every batch but the last, or of each. mirrored: (len(rows),) bool, None for none of them.
        """
        ...

    def mirror(self, rows: np.ndarray, inputs: Tensor, mirrored: np.ndarray) -> Tensor:
        """Return the other flip of each of a batch's inputs, which are of these rows and mirrored or not."""
        ...

    def strong(self, rows: np.ndarray, chance: np.ndarray) -> Callable[[np.ndarray, Tensor], Tensor]:
        """Return places in `rows` (b,) and what is fed of them -> strongly changed views of the same images.

        rows: of a whole epoch. chance: (len(rows),) in [0, 1), which of the strong views each has.
        """
        ...


class PixelInputs:
    """Images stretched to (B, 3, size, size), channels last in memory; flipped after the resize and normalised on the device."""

    def __init__(
        self,
        root: Path,
        names: np.ndarray,
        size: int,
        upright: bool,
        mean: Sequence[float],
        std: Sequence[float],
        device: torch.device,
        workers: int,
        resize: str = EXACT,
        cached: ImageCache | None = None,
        max_pixels: int = MAX_PIXELS,
        unreadable: dict[int, Unreadable] | None = None,
    ) -> None:
        """names: (N,) str, paths below `root`. resize: as for `resized_image`. cached: of the same images.

        max_pixels: as for `read_pixels`. unreadable: takes what is wrong with each image that cannot be read, by row, and
        batches go without it; None where every image is one that could be read before: then it is an error.
        """
        self._unreadable = unreadable
        self._device, self._scaling = device, scaling(mean, std, device)
        self.evaluation_batch = EVALUATION_BATCH
        if device.type == "cuda":
            self.evaluation_batch = min(GPU_EVALUATION_BATCH, max(EVALUATION_BATCH, BATCH_BYTES // (3 * size**2)))
        self._order = _Order()
        images = _Resized(root, names, size, upright, resize, fastest(), cached, max_pixels)
        self._loader = loader(images, self._order, _collate, workers, pinned=device.type == "cuda", lasting=True)

    def batches(
        self, rows: np.ndarray, sizes: int | Sequence[int], mirrored: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        flips = np.zeros(len(rows), dtype=bool) if mirrored is None else mirrored
        wanted = list(zip(rows.tolist(), flips.tolist(), strict=True))
        self._order.batches = [wanted[here] for here in _slices(len(rows), sizes)]
        for batch in self._loader:
            if isinstance(batch, str):
                raise AevlpError(batch)
            self._take(batch.faults)
            if batch.faults and not len(batch.rows):
                continue
            pixels, mirror = (part.to(self._device, non_blocking=True) for part in (batch.pixels, batch.mirror))
            pixels.index_copy_(0, mirror, pixels.index_select(0, mirror).flip(2))
            yield batch.rows, normalized(pixels, self._scaling)

    def mirror(self, rows: np.ndarray, inputs: Tensor, mirrored: np.ndarray) -> Tensor:
        return inputs.flip(3)

    def strong(self, rows: np.ndarray, chance: np.ndarray) -> Callable[[np.ndarray, Tensor], Tensor]:
        return lambda places, inputs: changed_strongly(inputs, self._scaling, chance[places])

    def _take(self, faults: list[tuple[int, Unreadable]]) -> None:
        if faults and self._unreadable is None:
            raise AevlpError(f"an image that was scored cannot be read any more: {faults[0][1].reason}")
        if self._unreadable is not None:
            self._unreadable |= dict(faults)


def scaling(mean: Sequence[float], std: Sequence[float], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return what `normalized` subtracts and multiplies by, (3,) float32 each, on the device."""
    offset, factor = [255 * value for value in mean], [1 / (255 * value) for value in std]
    return torch.tensor(offset, device=device), torch.tensor(factor, device=device)


def normalized(pixels: Tensor, scale: tuple[Tensor, Tensor]) -> Tensor:
    """Return (pixels / 255 - mean) / std, (B, 3, S, S) float32, channels last in memory; pixels: (B, S, S, 3) uint8.

    scale: of `scaling`.
    """
    width = pixels.shape[2]
    lines = (
        pixels.contiguous().view(-1, 3 * width).float()
    )  # whole lines: three numbers at a time are seven times slower
    offset, factor = (value.repeat(width) for value in scale)
    return lines.sub_(offset).mul_(factor).view(pixels.shape).permute(0, 3, 1, 2)


class EmbeddingInputs:
    """The whole images' cached unit vectors (B, D) float32, plain or mirrored; no image is opened."""

    evaluation_batch = 4096

    def __init__(self, embedding: np.ndarray, device: torch.device, tiles: Tiles | None = None) -> None:
        """embedding: (N, F, D), held in its own precision. tiles: what a strong view is, None where there is none."""
        self._embedding, self._device, self._tiles = torch.from_numpy(embedding).to(device), device, tiles

    def batches(
        self, rows: np.ndarray, sizes: int | Sequence[int], mirrored: np.ndarray | None = None
    ) -> Iterator[tuple[np.ndarray, Tensor]]:
        flips = np.zeros(len(rows), dtype=np.int64) if mirrored is None else mirrored.astype(np.int64)
        for here in _slices(len(rows), sizes):
            yield rows[here], self._of(rows[here], flips[here])

    def mirror(self, rows: np.ndarray, inputs: Tensor, mirrored: np.ndarray) -> Tensor:
        return self._of(rows, 1 - mirrored.astype(np.int64))

    def strong(self, rows: np.ndarray, chance: np.ndarray) -> Callable[[np.ndarray, Tensor], Tensor]:
        assert self._tiles is not None, "the plan of a training refuses a cache without tiles"
        drawn = torch.from_numpy(self._tiles(rows, chance)).to(self._device)
        return lambda places, inputs: drawn[sent(places, self._device)].float()

    def _of(self, rows: np.ndarray, flips: np.ndarray) -> Tensor:
        return self._embedding[sent(rows, self._device), sent(flips, self._device)].float()


def sent(values: np.ndarray, device: torch.device) -> Tensor:
    """Return an array as a tensor on the device, without waiting for what that is at work on."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@dataclass(frozen=True)
class _Batch:
    """rows: (B,) int64, of images that could be read. pixels: (B, S, S, 3) uint8. mirror: which of them to mirror, int64.

    faults: rows of the others, and what is wrong with each.
    """

    rows: np.ndarray
    pixels: Tensor
    mirror: Tensor
    faults: list[tuple[int, Unreadable]]

    def pin_memory(self) -> "_Batch":
        """Return the batch in memory that a GPU copies from; torch's loader calls it."""
        return replace(self, pixels=self.pixels.pin_memory(), mirror=self.mirror.pin_memory())


_Item = tuple[int, bool, np.ndarray | Unreadable | str]


class _Resized(Dataset):
    """Row and whether to mirror it -> both, and the pixels (S, S, 3) or what is wrong.

    The names are one array: a list of paths would be copied into each worker, count by count.
    """

    def __init__(
        self,
        root: Path,
        names: np.ndarray,
        size: int,
        upright: bool,
        resize: str,
        decoder: str,
        cached: ImageCache | None,
        max_pixels: int,
    ) -> None:
        self.root, self.names, self.size, self.upright = root, names, size, upright
        self.resize, self.decoder, self.cached, self.max_pixels = resize, decoder, cached, max_pixels

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, wanted: tuple[int, bool]) -> _Item:
        row, mirrored = wanted
        try:
            return row, mirrored, self._pixels(row)
        except ImageError as error:
            return row, mirrored, Unreadable(error.status, str(error))
        except AevlpError as error:
            return row, mirrored, str(error)

    def _pixels(self, row: int) -> np.ndarray:
        path = self.root / str(self.names[row])
        version = stamp(path, hashed=False) if self.cached else ""
        pixels = self.cached.read(row, version) if self.cached else None
        if pixels is None:
            decoded = torch.from_numpy(read_pixels(path, self.upright, self.decoder, self.max_pixels))
            pixels = resized_image(decoded, self.size, self.resize).permute(1, 2, 0).numpy()
            if self.cached:
                self.cached.write(row, version, pixels)
        return pixels


class _Order(Sampler[list[tuple[int, bool]]]):
    """The batches of the next pass over a loader: rows, and whether to mirror them."""

    def __init__(self) -> None:
        self.batches: list[list[tuple[int, bool]]] = []

    def __iter__(self) -> Iterator[list[tuple[int, bool]]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def _slices(n: int, sizes: int | Sequence[int]) -> list[slice]:
    ends = list(range(sizes, n + sizes, sizes)) if isinstance(sizes, int) else np.cumsum(sizes).tolist()
    return [slice(*pair) for pair in zip([0, *ends], ends, strict=False)]


def _collate(items: list[_Item]) -> _Batch | str:
    """Return items as a batch, or what kept one from being read that is not the image's own fault."""
    images: list[tuple[int, bool, np.ndarray]] = []
    faults: list[tuple[int, Unreadable]] = []
    for row, mirrored, pixels in items:
        if isinstance(pixels, str):
            return pixels
        if isinstance(pixels, Unreadable):
            faults.append((row, pixels))
        else:
            images.append((row, mirrored, pixels))
    whole = (
        torch.from_numpy(np.stack([pixels for _, _, pixels in images]))
        if images
        else torch.empty(0, 1, 1, 3, dtype=torch.uint8)
    )
    try:
        whole = handed_over(whole)
    except AevlpError as error:
        return str(error)
    mirror = torch.tensor([place for place, (_, mirrored, _) in enumerate(images) if mirrored], dtype=torch.int64)
    return _Batch(np.array([row for row, _, _ in images], dtype=np.int64), whole, mirror, faults)
