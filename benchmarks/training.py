"""A step and an epoch of training, and the share of it that waits for data, beside a plain PyTorch loop; random weights.

Usage: python benchmarks/training.py [--backbone resnet50] [--size 448] [--batch 8] [--count 48] [--images FOLDER] [--workers N]
       [--compile] [--device cpu|cuda] [--rounds 3] [--json FILE]
Both train on the same images with the gpr loss. The plain loop resizes with Pillow and normalises in the loader's workers, and
has its tensors as they come; on a GPU both compute in mixed precision. aevlp is measured without and with --image-cache, whose
first, filling epoch is the one that is not timed.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import timm
import torch
from generated import data_set, images, small_clip
from measuring import Bench, Timed, flops, matrix_rate, middle, parser, run
from one_stage import MEAN, STD
from PIL import Image
from stage_one import scored
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from aevlp.pipeline.clip.encoder import RANDOM
from aevlp.pipeline.losses import Targets, create_loss
from aevlp.pipeline.losses.interface import Scheduled
from aevlp.pipeline.runtime.device import mixed_precision
from aevlp.pipeline.training.classifier import Outputs
from aevlp.pipeline.training.distributed import Processes, joined
from aevlp.pipeline.training.epoch_labels import EpochLabels
from aevlp.pipeline.training.inputs import sent
from aevlp.pipeline.training.loop import Batches, autocast, train_epoch
from aevlp.pipeline.training.state import Progress
from aevlp.stages.console import silent
from aevlp.stages.stage_one.options import PseudolabelOptions
from aevlp.stages.stage_two.classifiers import classifier_inputs, new_classifier
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan, precision


class Epoch(NamedTuple):
    """What an epoch came to. waiting: seconds of it in which the next batch was waited for."""

    seconds: float
    waiting: float
    images: int


class StageTwo:
    """Stage two's own epochs on all images of a cache, without what surrounds them: validation, saving, metrics."""

    def __init__(self, options: TrainOptions, processes: Processes) -> None:
        self.options, self.processes = options, processes
        with silent():
            self.plan = make_plan(options)
            self.architecture, self.classifier = new_classifier(self.plan)
        plan = self.plan
        cache, device, recipe = plan.cache, plan.device, plan.recipe
        self.classifier.to(device)
        if options.compile:
            self.classifier.compile()
        self.rows = np.arange(len(cache))
        self.observed = torch.from_numpy(cache.observed).to(device)
        self.loss = create_loss(options.loss, len(cache.classes), self.observed, **plan.constants)
        groups = self.classifier.parameter_groups(recipe["lr"], recipe["head_lr_factor"])
        self.optimizer = torch.optim.Adam(groups, fused=True)
        self.scaler = torch.amp.GradScaler(device.type, enabled=precision(plan) is torch.float16)
        self.mixed = autocast(device, precision(plan))
        self.inputs = classifier_inputs(
            self.architecture, cache, plan.root, device, options.workers, options.image_cache
        )
        self.labels: EpochLabels | None = None
        if plan.policy is not None:
            self.labels = EpochLabels(cache, self.rows, plan.policy.create(), recipe["epochs"], options.seed)
        self.codes: Tensor | None = None
        self.done = 0

    def epoch(self) -> Epoch:
        """Train on every image once, with labels drawn anew."""
        started, progress, epochs = time.perf_counter(), Progress(), self.plan.recipe["epochs"]
        number = 1 + self.done % epochs
        self.done += 1
        if isinstance(self.loss, Scheduled):
            self.loss.set_epoch(number, epochs)
        if self.labels is not None:
            self.codes = torch.from_numpy(self.labels.of(number).codes).to(self.plan.device)
        random = np.random.default_rng(self.done)
        rows, mirrored = random.permutation(self.rows), random.random(len(self.rows)) < 0.5
        self._train(self.inputs.batches(rows, self.plan.recipe["batch_size"], mirrored), progress)
        return Epoch(time.perf_counter() - started, progress.waiting, progress.images)

    def step(self, rows: np.ndarray, inputs: Tensor) -> int:
        """Train on one batch that is on the device already, with the labels of the epoch before."""
        self._train([(rows, inputs)], Progress())
        return len(rows)

    def _train(self, batches: Batches, progress: Progress) -> None:
        train_epoch(
            self.classifier,
            batches,
            self._targets,
            self.loss,
            self.optimizer,
            self.scaler,
            self.mixed,
            progress,
            self.processes,
        )
        progress.mean_loss()  # which waits for a GPU, as the end of an epoch does

    def _targets(self, batch: np.ndarray, _: Outputs) -> Targets:
        here = sent(batch, self.plan.device)
        return Targets(observed=self.observed[here], pseudo=None if self.codes is None else self.codes[here], rows=here)


class Files(Dataset):
    """Item i: number and input (3, S, S) float32 of image i, as a plain program makes it."""

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths = paths
        self.transform: Any = transforms.Compose(
            [
                transforms.Resize((size, size)),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(MEAN, STD),
            ]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[int, Tensor]:
        with Image.open(self.paths[number]) as file:
            return number, self.transform(file.convert("RGB"))


class Plain:
    """A plain PyTorch loop with the same model, images, labels and loss."""

    def __init__(
        self, paths: list[Path], ours: StageTwo, backbone: str, size: int, batch: int, workers: int, codes: Tensor
    ) -> None:
        self.device, self.loss, self.observed, self.codes = ours.plan.device, ours.loss, ours.observed, codes
        self.classifier: Any = timm.create_model(backbone, num_classes=ours.observed.shape[1]).to(self.device)
        self.optimizer = torch.optim.Adam(self.classifier.parameters(), lr=1e-5)
        gpu = self.device.type == "cuda"
        self.loader = DataLoader(
            Files(paths, size),
            batch,
            shuffle=True,
            num_workers=workers,
            pin_memory=gpu,
            persistent_workers=workers > 0,
        )
        self.dtype = mixed_precision(self.device)

    def epoch(self) -> Epoch:
        """Train on every image once."""
        started, waiting, images = time.perf_counter(), 0.0, 0
        self.classifier.train()
        batches = iter(self.loader)
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            waiting += time.perf_counter() - began
            if batch is None:
                break
            images += self.step(*(part.to(self.device, non_blocking=True) for part in batch))
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return Epoch(time.perf_counter() - started, waiting, images)

    def step(self, rows: Tensor, pixels: Tensor) -> int:
        """Train on one batch."""
        mixed: AbstractContextManager = torch.autocast("cuda", self.dtype) if self.dtype else nullcontext()
        with mixed:
            logits = self.classifier(pixels)
        value = self.loss(logits, Targets(observed=self.observed[rows], pseudo=self.codes[rows], rows=rows))
        self.optimizer.zero_grad()
        value.backward()
        self.optimizer.step()
        return len(rows)


def small_cache(folder: Path, paths: list[Path], classes: int, size: int, batch: int, device: str) -> Path:
    """Return a cache of images, scored by a CLIP that takes next to no time."""
    manifest = data_set(folder, paths, classes, grid=2, batch=batch, size=size)
    clip, cache = str(small_clip(folder)), folder / "generated.h5"
    scored(
        PseudolabelOptions(
            dataset="generated", cache=cache, manifest=manifest, clip=clip, weights=RANDOM, device=device, tower="torch"
        )
    )
    return cache


def main() -> None:
    """Alternate between the plain loop and stage two's, steps and epochs."""
    reads = parser(__doc__, rounds=3)
    reads.add_argument("--backbone", default="resnet50")
    reads.add_argument("--size", type=int, default=448)
    reads.add_argument("--batch", type=int, default=8)
    reads.add_argument("--count", type=int, default=48, help="images")
    reads.add_argument("--images", type=Path, help="a folder of JPEG files, in the place of generated ones")
    reads.add_argument("--classes", type=int, default=20)
    reads.add_argument("--workers", type=int, default=2)
    reads.add_argument("--compile", action="store_true", help="of aevlp: compile the classifier")
    options = reads.parse_args()
    device, batch = torch.device(options.device), options.batch
    about = f"{options.backbone} at {options.size}, batch {batch}, {options.count} images, {options.workers} workers, on {device}"
    bench = Bench("training", about + (", compiled" if options.compile else ""))
    with tempfile.TemporaryDirectory() as name, joined() as processes:
        folder = Path(name)
        paths = images(options.images, folder, options.count)
        cache = small_cache(folder, paths, options.classes, options.size, batch, options.device)

        def stage_two(image_cache: Path | None) -> StageTwo:
            given = TrainOptions(
                cache,
                backbone=options.backbone,
                weights=RANDOM,
                device=options.device,
                workers=options.workers,
                image_cache=image_cache,
                compile=options.compile,
            )
            return StageTwo(given, processes)

        ours, kept = stage_two(None), stage_two(folder / "resized")
        codes = torch.from_numpy(ours.plan.cache.codes(ours.plan.spec.damp.settings("paper"))).to(device)
        plain = Plain(paths, ours, options.backbone, options.size, batch, options.workers, codes)
        spent: dict[str, list[Epoch]] = {}

        def epoch_of(way: str, who: StageTwo | Plain) -> Iterator[Timed]:
            while True:
                made = who.epoch()
                spent.setdefault(way, []).append(made)
                yield Timed(made.seconds, made.images)

        who = {"plain loop": plain, "aevlp": ours, "aevlp, image cache": kept}
        ways = {way: epoch_of(way, of) for way, of in who.items()}
        seconds = middle(bench.alternate({way: lambda of=of: next(of) for way, of in ways.items()}, options.rounds))
        rows, pixels = torch.arange(batch) % options.count, torch.randn(batch, 3, options.size, options.size)
        there = (rows.to(device), pixels.to(device))
        flat = there[1].contiguous(memory_format=torch.channels_last)
        steps = {"plain loop": lambda: plain.step(*there), "aevlp": lambda: ours.step(rows.numpy(), flat)}
        one = middle(bench.alternate({f"{way}, a step": step for way, step in steps.items()}, options.rounds))
        work = flops(plain.classifier, there[1], backward=True)

    rate = matrix_rate(device, mixed_precision(device) or torch.float32, small=options.size < 64)
    least = work * options.count / batch / rate
    for way, of in seconds.items():
        later = spent[way][1:]  # without the one that is not timed
        share = float(np.median([epoch.waiting / epoch.seconds for epoch in later]))
        step = one.get(f"{way}, a step")
        figures = {"times_plain": seconds["plain loop"] / of, "percent_waiting": 100 * share}
        figures |= {"percent_of_matrix_rate": 100 * least / of}
        if step is not None:
            figures |= {"seconds_a_step": step, "times_plain_step": one["plain loop, a step"] / step}
        bench.row(way, seconds_an_epoch=of, images_a_second=options.count / of, **figures)
    bench.floor(
        f"matrix products here: {rate / 1e9:,.0f} GFLOP/s; forward and backward take {work / batch / 1e9:.1f} GFLOP an image: "
        f"an epoch at least {least:.2f} s"
    )
    bench.finish()


if __name__ == "__main__":
    run(main)
