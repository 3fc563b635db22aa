"""Stage one from JPEG files to the parts on the disk, beside a loop of Pillow's crops and open_clip; random weights.

Usage: python benchmarks/stage_one.py [--clip ViT-B-16] [--count 8] [--images FOLDER] [--classes 20] [--grid 4] [--tower NAME]
       [--workers N] [--batch N] [--device cpu|cuda] [--rounds 3] [--json FILE]
Both encode 34 views an image (grid 4), plain and mirrored, and the loading of the models is counted on neither side. aevlp runs
in a process of its own, as the command does; that its workers start is within the time.
"""

import multiprocessing
import tempfile
import time
from contextlib import nullcontext
from dataclasses import replace
from itertools import count
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import open_clip
import torch
from data_side import FLIPS, plain_transform, plain_views
from generated import class_names, data_set, images, input_size, random_clip
from measuring import Bench, Timed, cores, flops, matrix_rate, middle, parser, run, timed

from aevlp.pipeline.clip.encoder import PRECISIONS, RANDOM
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.score_cache import write_cache
from aevlp.pipeline.score_cache.unfinished import remove_parts
from aevlp.pipeline.scoring.bottleneck import TimeSpent
from aevlp.pipeline.scoring.scorer import one_thread_each
from aevlp.stages.console import silent
from aevlp.stages.stage_one.local_engine import shard_scoring
from aevlp.stages.stage_one.options import PseudolabelOptions
from aevlp.stages.stage_one.parts import finish, part_store
from aevlp.stages.stage_one.plan import make_plan


class Scored(NamedTuple):
    """What scoring came to. start: seconds of loading. seconds: of scoring, to parts. writing: of the cache, from them."""

    start: float
    seconds: float
    writing: float
    views: int
    tower: str
    limit: str


def scored(options: PseudolabelOptions, warm: bool = False) -> Scored:
    """Run stage one in a new process, which leaves the cache; warm: after the same once more, which is not timed.

    The process is not a fork of this one, of whose threads it would have none.
    """
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe(duplex=False)
    process = spawn.Process(target=_score, args=(there, options, warm, multiprocessing.get_start_method()))
    process.start()
    there.close()
    try:
        return here.recv()
    except EOFError:
        raise SystemExit("the process that runs stage one failed") from None
    finally:
        process.join()


def _score(answer: Connection, options: PseudolabelOptions, warm: bool, workers_start: str) -> None:
    multiprocessing.set_start_method(workers_start, force=True)  # as in a process that the shell starts
    assert options.manifest is not None and options.dataset is not None and options.cache is not None
    spec = load_manifest(options.manifest)[options.dataset]
    with silent(True), one_thread_each() as threads:
        began = time.perf_counter()
        plan = make_plan(options, spec)
        scoring = shard_scoring(plan, part_store(plan, options.cache), threads)
        start = time.perf_counter() - began
        seen = 0

        def see(reasons: list[str]) -> None:
            nonlocal seen
            assert not any(reasons), reasons
            seen += len(reasons)

        if warm:
            other = options.cache.with_name(f"warm-{options.cache.name}")
            before = replace(scoring, store=part_store(plan, other))
            before.store.begin()
            before.run(before.store.missing(), see, TimeSpent())
            remove_parts(other)
        seen, spent, store = 0, TimeSpent(), scoring.store
        store.begin()
        seconds, _ = timed(lambda: scoring.run(store.missing(), see, spent))
        assert not store.missing()
        writing, _ = timed(
            lambda: finish(plan, store, lambda header, _, rows: write_cache(options.cache, header, rows))
        )
        views, tower = seen * plan.header.views * plan.header.flips, plan.header.provenance["tower"]
        answer.send(Scored(start, seconds, writing, views, tower, spent.limit()))


class Plain:
    """A loop that crops with Pillow, encodes the views of an image at a time, and saves the cosines at the end."""

    def __init__(self, clip: str, classes: int, device: torch.device, precision: str) -> None:
        name, self.model = random_clip(clip, device)
        self.device, self.dtype = device, PRECISIONS[precision]
        tokens = open_clip.get_tokenizer(name)([f"a photo of a {text}." for text in class_names(classes)])
        with torch.no_grad():
            self.text = self.model.encode_text(tokens.to(device), normalize=True)
        self.size = input_size(self.model)

    @torch.no_grad()
    def __call__(self, paths: list[Path], grid: int, target: Path) -> int:
        """Return how many views were encoded."""
        transform, cosines = plain_transform(self.size), []
        for path in paths:
            pixels = plain_views(path, grid, transform, FLIPS).to(self.device)
            with torch.autocast(self.device.type, self.dtype) if self.dtype else nullcontext():
                features = self.model.encode_image(pixels, normalize=True)
            cosines.append((features.float() @ self.text.T).cpu().numpy())
        np.save(target, np.stack(cosines).astype(np.float16))
        return sum(map(len, cosines))


def main() -> None:
    """Alternate between both on the same files, and say what limited stage one."""
    reads = parser(__doc__, rounds=3)
    reads.add_argument("--clip", default="ViT-B-16", help="an open_clip model, or a model-config JSON")
    reads.add_argument("--count", type=int, default=8, help="images a round")
    reads.add_argument(
        "--plain-count", type=int, help="images a round of the plain loop, where all would take too long"
    )
    reads.add_argument("--images", type=Path, help="a folder of JPEG files, in the place of generated ones")
    reads.add_argument("--classes", type=int, default=20)
    reads.add_argument("--grid", type=int, default=4)
    reads.add_argument("--tower", help="default: what stage one takes by itself")
    reads.add_argument("--workers", type=int)
    reads.add_argument("--batch", type=int, help="images at a time")
    options = reads.parse_args()
    device = torch.device(options.device)
    gpu = device.type == "cuda"
    precision, views = "bf16" if gpu else "fp32", FLIPS * (1 + options.grid**2)
    plain_count = options.plain_count or options.count
    plain = Plain(options.clip, options.classes, device, precision)
    bench = Bench(
        "stage one", f"{Path(options.clip).stem}, {precision}, {views} views an image, {options.classes} classes"
    )
    each = views * flops(plain.model.visual, torch.zeros(1, 3, plain.size, plain.size, device=device))
    rate = matrix_rate(device, PRECISIONS[precision] or torch.float32, small=plain.size < 64)
    runs: list[Scored] = []
    with tempfile.TemporaryDirectory() as name:
        folder, numbers = Path(name), count()
        paths = images(options.images, folder, options.count)
        manifest = data_set(folder, paths, options.classes, options.grid)

        def ours() -> Timed:
            runs.append(
                scored(
                    PseudolabelOptions(
                        dataset="generated",
                        cache=folder / f"{next(numbers)}.h5",
                        manifest=manifest,
                        clip=options.clip,
                        weights=RANDOM,
                        device=options.device,
                        precision=precision,
                        tower=options.tower,
                        workers=options.workers,
                        batch_size=options.batch,
                    ),
                    warm=gpu,
                )
            )
            assert runs[-1].views == views * len(paths)
            return Timed(runs[-1].seconds / len(paths), views)

        def plainly() -> Timed:
            seconds, encoded = timed(lambda: plain(paths[:plain_count], options.grid, folder / "plain.npy"))
            assert encoded == views * plain_count
            return Timed(seconds / plain_count, views)

        seconds = middle(bench.alternate({"plain loop": plainly, "aevlp": ours}, options.rounds))
    for way, of in seconds.items():
        label = f"aevlp, {runs[-1].tower}" if way == "aevlp" else way
        figures = {"images_a_second": 1 / of, "views_a_second": views / of, "times_plain": seconds["plain loop"] / of}
        bench.row(label, **figures, percent_of_matrix_rate=100 * each / of / rate)
    bench.floor(f"matrix products here: {rate / 1e9:,.0f} GFLOP/s, at most {rate / each:,.2f} images/s")
    last = runs[-1]
    bench.note(f"stage one, {cores()} cores: {last.limit}")
    bench.note(f"not counted: {last.start:.1f} s of loading, {last.writing:.2f} s of making the cache of the parts")
    bench.finish()


if __name__ == "__main__":
    run(main)
