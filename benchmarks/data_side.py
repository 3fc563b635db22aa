"""JPEG files -> what is handed to the image tower, beside a plain loop of crops with Pillow and torchvision; one thread.

Usage: python benchmarks/data_side.py [--count 20] [--images FOLDER] [--grid 4] [--size 224] [--rounds 5] [--json FILE]
The plain loop makes floats, of one flip or of both. aevlp hands over bytes: floats, statistics and the mirrored view are made on
the device. So that the comparison is whole, one line does that too, here, for both flips.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from generated import images
from measuring import Bench, middle, parser, run
from PIL import Image
from torchvision.transforms import v2

from aevlp.pipeline.clip.encoder import IMAGENET_STATISTICS
from aevlp.pipeline.images.resizing import EXACT, FAST
from aevlp.pipeline.images.view_loading import ViewDataset
from aevlp.pipeline.images.views import view_boxes

FLIPS = 2


def plain_transform(size: int) -> Callable[[Image.Image], torch.Tensor]:
    """Return what a plain program does to a crop."""
    mean, std = IMAGENET_STATISTICS
    return v2.Compose(
        [
            v2.Resize((size, size), interpolation=v2.InterpolationMode.BILINEAR, antialias=True),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(mean), list(std)),
        ]
    )


def plain_views(path: Path, grid: int, transform: Callable[[Image.Image], torch.Tensor], flips: int) -> torch.Tensor:
    """Return the views of an image, (flips * V, 3, S, S) float32, cropped, resized and normalised one by one."""
    image = Image.open(path).convert("RGB")
    crops = [image.crop(box) for box in view_boxes(*image.size, grid)]
    mirrored = [crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for crop in crops] if flips == FLIPS else []
    return torch.stack([transform(crop) for crop in (*crops, *mirrored)])


def of_plain(paths: list[Path], grid: int, size: int, flips: int) -> None:
    """Make the views of all images, the plain way."""
    transform = plain_transform(size)
    made = sum(len(plain_views(path, grid, transform, flips)) for path in paths)
    assert made == flips * len(paths) * (1 + grid**2)


def of_ours(views: ViewDataset, normalised: bool) -> None:
    """Make the views of all images as stage one does; normalised: with what it leaves to the device, for both flips."""
    made, count = 0, len(views)
    for number in range(count):
        of_image = views[number]
        assert isinstance(of_image, tuple) and of_image[3] is not None, of_image
        pixels = of_image[3]
        if normalised:
            made += sum(len(as_floats(pixels, mirrored)) for mirrored in (False, True))
        else:
            made += len(pixels)
    assert made == count * (1 + views.grid**2) * (FLIPS if normalised else 1)


def as_floats(views: torch.Tensor, mirrored: bool) -> torch.Tensor:
    """Return views (n, 3, S, S) uint8 as the image tower takes them: the arithmetic of `ClipEncoder.encode_views`."""
    mean, std = (255 * torch.tensor(values).view(3, 1, 1) for values in IMAGENET_STATISTICS)
    pixels = views.to(torch.float32, memory_format=torch.contiguous_format).sub_(mean).div_(std)
    return pixels.flip(-1) if mirrored else pixels


def difference(paths: list[Path], grid: int, size: int) -> tuple[int, float]:
    """Return the greatest and the mean difference, in grey levels, between the fast resize and Pillow's."""
    greatest, total = 0, 0.0
    fast, exact = (ViewDataset(paths, grid, size, "paper", resize) for resize in (FAST, EXACT))
    for number in range(len(paths)):
        ours, theirs = (np.asarray(of[number][3], dtype=np.int16) for of in (fast, exact))  # type: ignore[index]
        greatest = max(greatest, int(abs(ours - theirs).max()))
        total += float(abs(ours - theirs).mean())
    return greatest, total / len(paths)


def main() -> None:
    """Time each way on the same files in alternating rounds."""
    reads = parser(__doc__, rounds=5)
    reads.add_argument("--count", type=int, default=20, help="images")
    reads.add_argument("--images", type=Path, help="a folder of JPEG files, in the place of generated ones")
    reads.add_argument("--grid", type=int, default=4)
    reads.add_argument("--size", type=int, default=224)
    options = reads.parse_args()
    grid, size = options.grid, options.size
    views = 1 + grid**2
    about = "JPEG files" if options.images else "generated JPEG files of 500 x 375"
    bench = Bench("data side", f"{about}, {views} views of {size} pixels, one thread")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = images(options.images, Path(folder), options.count)
        ours = partial(ViewDataset, paths, grid, size, "paper")
        ways: dict[str, Callable[[], object]] = {
            f"plain loop, {FLIPS * views} views": partial(of_plain, paths, grid, size, FLIPS),
            f"plain loop, {views} views": partial(of_plain, paths, grid, size, 1),
            "aevlp, exact resize, pillow": partial(of_ours, ours(EXACT, "pillow"), False),
            "aevlp, pillow": partial(of_ours, ours(FAST, "pillow"), False),
            "aevlp, pillow, normalised here": partial(of_ours, ours(FAST, "pillow"), True),
        }
        if find_spec("simplejpeg"):
            ways |= {
                "aevlp, simplejpeg": partial(of_ours, ours(FAST, "simplejpeg"), False),
                "aevlp, simplejpeg, normalised here": partial(of_ours, ours(FAST, "simplejpeg"), True),
            }
        seconds = middle(bench.alternate(ways, options.rounds))
        decoded = middle(
            bench.alternate({"decoding alone": lambda: [np.array(Image.open(p)) for p in paths]}, options.rounds)
        )
        greatest, mean = difference(paths, grid, size)
    both, one = (seconds[f"plain loop, {flips * views} views"] for flips in (FLIPS, 1))
    for name, of in seconds.items():
        ratios = {f"times_plain_{FLIPS * views}": both / of, f"times_plain_{views}": one / of}
        bench.row(name, ms_an_image=1000 * of / options.count, **ratios)
    floor = decoded["decoding alone"]
    bench.floor(f"decoding alone, with Pillow: {1000 * floor / options.count:.2f} ms an image")
    bench.note(f"fast resize beside Pillow's: at most {greatest} grey levels apart, {mean:.5f} in the mean")
    torch.set_num_threads(threads)
    bench.finish()


if __name__ == "__main__":
    run(main)
