"""Views a second of the image tower: a plain open_clip loop beside aevlp with each tower that this machine has; random weights.

Usage: python benchmarks/image_tower.py [--clip ViT-B-16] [--precision fp32|bf16] [--towers torch compile openvino] [--views 68]
       [--device cpu|cuda] [--rounds 3] [--json FILE]
The plain loop takes ready floats on the device, 17 at a time (--batch); aevlp takes bytes, in passes of its own size, and makes
the floats too. The precision of the plain loop is the same: autocast where it is not fp32.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import torch
from generated import random_clip
from measuring import Bench, Timed, flops, matrix_rate, middle, parser, run, timed
from torch import Tensor

from aevlp.pipeline.clip import towers
from aevlp.pipeline.clip.encoder import PRECISIONS, RANDOM, ClipEncoder, ClipSource
from aevlp.pipeline.clip.micro_batch import PassSize
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.scoring.scorer import Threads, one_thread_each

VIEWS_AN_IMAGE = 34  # grid 4, both flips


class Plain:
    """A loop over batches, as a program that uses open_clip has it."""

    def __init__(self, clip: str, device: torch.device, precision: str) -> None:
        _, self.model = random_clip(clip, device)
        self.device = device
        self.dtype = PRECISIONS[precision]

    @torch.no_grad()
    def __call__(self, pixels: Tensor, batch: int) -> int:
        """Return how many views (n, 3, S, S) float32 were encoded."""
        features = []
        for part in pixels.split(batch):
            with torch.autocast(self.device.type, self.dtype) if self.dtype else nullcontext():
                features.append(self.model.encode_image(part, normalize=True).cpu())
        return len(torch.cat(features))


class Ours:
    """Stage one's passes over views, by one of its towers."""

    def __init__(self, encoder: ClipEncoder, tower: str, threads: Threads) -> None:
        encoder.use_tower(tower, threads.count)
        self.encoder, self.tower = encoder, encoder.tower
        self.passes = PassSize(encoder.device, encoder.image_size)
        self.map = map if encoder.device.type == "cuda" else threads.map

    @torch.inference_mode()
    def __call__(self, views: Tensor) -> int:
        """Return how many views (n, 3, S, S) uint8 were encoded."""
        self.encoder.tower, (mean, std) = self.tower, (self.encoder.mean, self.encoder.std)
        encode = partial(self.encoder.encode_views, mirrored=False, mean=mean, std=std)
        return len(torch.cat([part.cpu() for part in self.passes.over(views, encode, self.map)]))


def built(encoder: ClipEncoder, tower: str, threads: Threads, views: Tensor) -> tuple[Ours, float] | str:
    """Return a tower that has encoded views once, and the seconds that this took; or why there is none."""
    try:
        towers.check(tower, encoder.device, encoder.precision)
    except AevlpError as error:
        return str(error)
    made: list[Ours] = []

    def build() -> None:
        made.append(Ours(encoder, tower, threads))
        made[0](views)

    seconds, _ = timed(build)
    return made[0], seconds


def main() -> None:
    """Time each tower on the same views in alternating rounds."""
    reads = parser(__doc__, rounds=3)
    reads.add_argument("--clip", default="ViT-B-16", help="an open_clip model, or a model-config JSON")
    reads.add_argument("--precision", choices=PRECISIONS, help="default: bf16 on a GPU, else fp32")
    reads.add_argument("--towers", nargs="+", choices=towers.TOWERS, default=towers.TOWERS)
    reads.add_argument("--views", type=int, default=68)
    reads.add_argument("--batch", type=int, default=17, help="views at a time in the plain loop")
    options = reads.parse_args()
    device = torch.device(options.device)
    precision = options.precision or ("bf16" if device.type == "cuda" else "fp32")
    encoder = ClipEncoder(ClipSource(options.clip, RANDOM), device, precision)
    size = encoder.image_size
    bench = Bench("image tower", f"{encoder.name}, {precision}, {options.views} views of {size} pixels on {device}")
    each = flops(encoder.model.visual, torch.zeros(1, 3, size, size, device=device))
    rate = matrix_rate(device, PRECISIONS[precision] or torch.float32, small=size < 64)

    views = torch.randint(0, 256, (options.views, 3, size, size), dtype=torch.uint8, device=device)
    plain, floats = Plain(options.clip, device, precision), views.float() / 255
    threads = torch.get_num_threads()
    plain_loop, building = "plain open_clip loop", {}
    with one_thread_each() as own:

        def plainly() -> Timed:
            torch.set_num_threads(threads)  # aevlp's threads compute with one each, a plain program with all
            seconds, views_made = timed(lambda: plain(floats, options.batch))
            torch.set_num_threads(1)
            assert isinstance(views_made, int)
            return Timed(seconds, views_made)

        def ours(by: Ours) -> Timed:
            seconds, views_made = timed(lambda: by(views))
            assert isinstance(views_made, int)
            return Timed(seconds, views_made)

        ways: dict[str, Callable[[], Timed]] = {plain_loop: plainly}
        for name in options.towers:
            made = built(encoder, name, own, views)
            if isinstance(made, str):
                bench.note(made)
            else:
                ways[f"aevlp, {name}"] = partial(ours, made[0])
                building[f"aevlp, {name}"] = made[1]
        seconds = middle(bench.alternate(ways, options.rounds))

    slowest = seconds.get("aevlp, torch")
    for name, of in seconds.items():
        a_second = options.views / of
        figures = {"views_a_second": a_second, "times_plain": seconds[plain_loop] / of}
        bench.row(name, **figures, percent_of_matrix_rate=100 * a_second * each / rate)
        if name in building and name != "aevlp, torch":
            bench.note(
                _pays(name, max(0.0, building[name] - of), slowest and slowest / options.views, of / options.views)
            )
    bench.floor(
        f"matrix products here: {rate / 1e9:,.0f} GFLOP/s; a view takes {each / 1e9:.1f} GFLOP: "
        f"at most {rate / each:,.1f} views/s"
    )
    bench.finish()


def _pays(name: str, build: float, torch_each: float | None, own_each: float) -> str:
    text = f"{name}: {build:.1f} s to build"
    if torch_each is None:
        return text
    if own_each >= torch_each:
        return f"{text}, and it does not pay"
    return f"{text}, which pays after {build / (torch_each - own_each) / VIEWS_AN_IMAGE:,.0f} images of {VIEWS_AN_IMAGE} views"


if __name__ == "__main__":
    run(main)
