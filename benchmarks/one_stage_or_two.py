"""Training in one stage, CLIP in every batch of every epoch, beside stage one once and stage two; random weights.

Usage: python benchmarks/one_stage_or_two.py [--classes 20|312] [--grid N] [--epochs 8] [--losses 3] [--clip ViT-B-16]
       [--backbone resnet50] [--size 448] [--count 8] [--images FOLDER] [--device cpu|cuda] [--rounds 3] [--json FILE]
A round is one epoch of the one-stage loop (`one_stage.py`), stage one, and one epoch of stage two, each on the same images. All
three take a time that grows with images and epochs alone, so that totals of E epochs and several losses are sums; what is spent
once, however many images there are, is said apart. Stage one encodes both flips of every view, the one-stage loop one of them an
epoch. Default grid: 4, with 312 classes or more 5.
"""

import tempfile
from itertools import count
from pathlib import Path
from time import perf_counter

import torch
from generated import class_names, data_set, images, random_clip
from measuring import Bench, Timed, middle, parser, run, timed
from one_stage import OneStage
from stage_one import Scored, scored
from training import StageTwo

from aevlp.pipeline.clip.encoder import RANDOM
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.training.distributed import joined
from aevlp.stages.stage_one.options import PseudolabelOptions
from aevlp.stages.stage_two.options import TrainOptions

FLIPS = 2
ONE, FIRST, SECOND = "one stage, an epoch", "stage one", "stage two, an epoch"


def main() -> None:
    """Alternate between the three on the same images, and add them up."""
    reads = parser(__doc__, rounds=3)
    reads.add_argument("--classes", type=int, default=20)
    reads.add_argument("--grid", type=int)
    reads.add_argument("--epochs", type=int, default=8)
    reads.add_argument("--losses", type=int, default=3, help="the most that are added up")
    reads.add_argument("--clip", default="ViT-B-16", help="an open_clip model, or a model-config JSON")
    reads.add_argument("--backbone", default="resnet50")
    reads.add_argument("--size", type=int, default=448)
    reads.add_argument("--batch", type=int, default=8)
    reads.add_argument("--count", type=int, default=8, help="images")
    reads.add_argument("--images", type=Path, help="a folder of JPEG files, in the place of generated ones")
    reads.add_argument("--workers", type=int, default=2)
    reads.add_argument("--tower", help="default: what stage one takes by itself")
    options = reads.parse_args()
    device, grid = torch.device(options.device), options.grid or (5 if options.classes >= 312 else 4)
    views = 1 + grid**2
    bench = Bench("one stage or two", f"{options.classes} classes, {views} views, {options.count} images, on {device}")
    runs: list[Scored] = []
    with tempfile.TemporaryDirectory() as name, joined() as processes:
        folder, numbers = Path(name), count()
        paths = images(options.images, folder, options.count)
        manifest = data_set(folder, paths, options.classes, grid, options.batch, options.size)

        def first(cache: Path) -> Scored:
            asked = PseudolabelOptions(
                dataset="generated",
                cache=cache,
                manifest=manifest,
                clip=options.clip,
                weights=RANDOM,
                device=options.device,
                tower=options.tower,
                workers=options.workers,
            )
            run = scored(asked, warm=device.type == "cuda")
            assert run.views == FLIPS * views * len(paths)
            runs.append(run)
            return run

        def stage_one() -> Timed:
            run = first(folder / f"{next(numbers)}.h5")
            return Timed(run.seconds + run.writing)

        cache = folder / "generated.h5"
        first(cache)
        given = TrainOptions(
            cache, backbone=options.backbone, weights=RANDOM, device=options.device, workers=options.workers
        )
        began = perf_counter()
        stage_two = StageTwo(given, processes)
        to_start = perf_counter() - began
        began = perf_counter()
        clip = random_clip(options.clip, device)
        observed = torch.from_numpy(open_cache(cache).observed)
        one_stage = OneStage(
            clip,
            class_names(options.classes),
            options.backbone,
            paths,
            observed,
            grid,
            options.size,
            device,
            options.batch,
            options.workers,
        )
        one_to_start = perf_counter() - began

        def one_epoch() -> Timed:
            before = one_stage.views
            seconds, trained = timed(one_stage.epoch)
            assert trained == len(paths) and one_stage.views - before == views * len(paths)
            return Timed(seconds)

        def second() -> Timed:
            epoch = stage_two.epoch()
            assert epoch.images == len(paths)
            return Timed(epoch.seconds)

        seconds = middle(bench.alternate({ONE: one_epoch, FIRST: stage_one, SECOND: second}, options.rounds))
    for way, of in seconds.items():
        bench.row(way, seconds_an_image=of / len(paths))
    for losses in range(1, options.losses + 1):
        one = losses * options.epochs * seconds[ONE] / len(paths)
        two = (seconds[FIRST] + losses * options.epochs * seconds[SECOND]) / len(paths)
        label = f"{losses} loss{'es' * (losses > 1)}, {options.epochs} epochs"
        bench.row(label, one_stage_seconds_an_image=one, two_stages_seconds_an_image=two, times=one / two)
    bench.row("each further loss", times=seconds[ONE] / seconds[SECOND])
    share = 100 * seconds[SECOND] / seconds[ONE]
    bench.floor(f"an epoch of stage two takes {share:.0f} % of one in one stage: what labels cost is the rest")
    bench.note(
        f"not counted, once a run: {runs[-1].start:.1f} s of loading for stage one ({runs[-1].tower}), {to_start:.1f} s for each "
        f"training of stage two, {one_to_start:.1f} s for each in one stage"
    )
    bench.finish()


if __name__ == "__main__":
    run(main)
