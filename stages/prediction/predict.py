"""A run folder and image files -> labels with probabilities."""

import csv
import glob
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...pipeline.clip.image_tower import features_of
from ...pipeline.errors import AevlpError, counted
from ...pipeline.files.atomic_write import replacing
from ...pipeline.files.file_reading import find_pictures, kinds_counted
from ...pipeline.manifest.formats import PACKAGED
from ...pipeline.runtime.device import find_device
from ...pipeline.training.decided import decision_of
from ...pipeline.training.inputs import PixelInputs, Unreadable
from ...pipeline.training.loop import Batches, autocast, predict_logits
from ...pipeline.training.run_folder import RunFolder
from ..cache_origin import scoring_encoder
from ..console import Rate, out, print_table, progress_bar, say
from ..declaration import takes
from ..new_files import check_unused
from ..results import Table
from .options import PredictOptions


@dataclass(frozen=True, repr=False)
class Predictions(Table):
    """What a classifier sees in images. A row an image: image, status, labels, reason, and p(CLASS) of each class.

    images: a dictionary each, with `probabilities` by class, None where the image cannot be read. output: the file they are in.
    """

    classes: list[str]
    images: list[dict[str, Any]]
    output: Path | None = None

    @property
    def labelled(self) -> int:
        """How many images could be read."""
        return sum(image["status"] == "ok" for image in self.images)

    @property
    def rows(self) -> list[dict[str, Any]]:
        rows = []
        for image in self.images:
            found = image["probabilities"] or dict.fromkeys(self.classes)
            rest = {name: value for name, value in image.items() if name != "probabilities"}
            rows.append({**rest, **{f"p({name})": value for name, value in found.items()}})
        return rows

    def summary(self) -> dict[str, Any]:
        """Return how many images there are, and of how many classes."""
        return {"images": len(self.images), "labelled": self.labelled, "classes": len(self.classes)}

    def to_json(self) -> dict[str, Any]:
        """Return the classes and the images."""
        return {"classes": self.classes, "images": self.images}


@takes(PredictOptions)
def predict(options: PredictOptions) -> Predictions:
    """Return the labels of every image, and write them where `output` says; one that cannot be read costs no other.

    Raises AevlpError where nothing is found by a name, and where none of the images can be read.
    """
    output = options.output
    if output is not None and output.suffix not in (".csv", ".json", ".parquet"):
        raise AevlpError(f"--output {output}: expected a .csv, .json or .parquet file")
    if output is not None:
        check_unused(output)
    folder = _run(options.run, options.images)
    files = find_images(options.images)
    device = find_device(options.device)
    say(f"labelling {counted(len(files), 'image')} with the best weights of {options.run}")
    classifier, architecture, description = folder.load_best()
    decision = decision_of(description, folder.best_file)
    if architecture.backbone == "linear":
        classifier = _OfPixels(_tower(folder, description), classifier)
    unreadable: dict[int, Unreadable] = {}
    inputs = PixelInputs(
        Path(),
        np.array([str(file) for file in files]),
        architecture.size,
        architecture.upright,
        architecture.mean,
        architecture.std,
        device,
        options.workers,
        architecture.resize,
        max_pixels=options.max_pixels,
        unreadable=unreadable,
    )
    logits = _logits(classifier.to(device), inputs, len(files), device)
    if len(unreadable) == len(files):
        raise AevlpError(f"none of the {len(files):,} images can be read, first {unreadable[0].reason}")
    images = []
    for row, file in enumerate(files):
        fault, probabilities, labels = unreadable.get(row), None, list[str]()
        if fault is None:
            values = decision.probabilities(next(logits)[None])
            labelled = decision.labels(values, options.threshold)[0]
            probabilities = dict(zip(description["classes"], values[0].tolist(), strict=True))
            labels = [c for c, there in zip(description["classes"], labelled, strict=True) if there]
        images.append(
            {
                "image": str(file),
                "status": "ok" if fault is None else fault.status,
                "labels": labels,
                "probabilities": probabilities,
                "reason": "" if fault is None else fault.reason,
            }
        )
    found = Predictions(description["classes"], images, output)
    if output is not None:
        with replacing(output) as temporary:
            _write(found, temporary, output.suffix)
    return found


def show(found: Predictions) -> None:
    """Print a table of the labels, unless they are in a file, and what could not be read."""
    if found.output is None:
        print_table("Predicted labels", ("image", "labels"), list(_lines(found.images)))
        out.print(f"{counted(found.labelled, 'image')} labelled")
    else:
        say(f"{found.output}: {counted(found.labelled, 'image')} labelled")
    failed = [image for image in found.images if image["status"] != "ok"]
    if failed:
        say(f"{counted(len(failed), 'image')} not labelled:")
    for image in failed[:10]:
        say(f"  {image['reason']}")
    if len(failed) > 10:
        say(f"  … and {len(failed) - 10:,} more; --json and --output have all")


def find_images(names: list[str]) -> list[Path]:
    """Return the image files meant by files, folders (searched through) and glob patterns, each once, in order.

    What lies in a folder and is no picture is said, by kind.
    """
    if not names:
        raise AevlpError("no images: expected files, folders or quoted glob patterns")
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = find_pictures(path)
            left_out = f"left out of {path}: {kinds_counted(inside.left_out)}" if inside.left_out else ""
            if not inside.images:
                raise AevlpError(f"no image file in the folder {path}" + (f"; {left_out}" if left_out else ""))
            if left_out:
                say(left_out)
            found.update(dict.fromkeys(inside.images))
        elif path.exists():
            found[path] = None
        else:
            matching = [Path(p) for p in sorted(glob.glob(name, recursive=True)) if Path(p).is_file()]  # noqa: PTH207
            if not matching:
                raise AevlpError(f"no file, folder or match for {name!r}")
            found.update(dict.fromkeys(matching))
    return list(found)


def _run(run: Path, images: list[str]) -> RunFolder:
    """Return the run; AevlpError where it can be none, also where one stands among the images instead."""
    folder = RunFolder(run)
    if not folder.best_file.exists():
        for other in images:
            if RunFolder(Path(other)).best_file.exists():
                raise AevlpError(
                    f"{run} is no run, and {other} is one: the run comes first, as in aevlp predict {other} {run}"
                )
        folder.require_run()
    return folder


class _OfPixels(nn.Module):
    """A classifier of embeddings, with the tower that makes them."""

    def __init__(self, tower: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.tower, self.classifier = tower, classifier

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.classifier(functional.normalize(self.tower(pixels).float(), dim=-1))


def _tower(folder: RunFolder, description: dict[str, Any]) -> nn.Module:
    """Return what makes the embeddings that a linear classifier reads: the run's own tower, or that of the scoring model."""
    visual = folder.load_tower()
    if visual is None:  # of an earlier version, or trained where the scoring model was not
        manifests = Path(description["manifest"] or PACKAGED).parent
        visual = scoring_encoder(description, manifests, torch.device("cpu")).model.visual
    return features_of(visual)


def _logits(classifier: nn.Module, inputs: PixelInputs, images: int, device: torch.device) -> Iterator[np.ndarray]:
    """Return the logits (C,) of each image that can be read, in order."""
    with progress_bar(Rate("images")) as bar:
        task = bar.add_task("predicting", total=images)

        def counted() -> Batches:
            for rows, pixels in inputs.batches(np.arange(images), inputs.evaluation_batch):
                yield rows, pixels
                bar.update(task, completed=int(rows[-1]) + 1)

        return iter(predict_logits(classifier, counted(), autocast(device, None)))


def _lines(images: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for image in images:
        if image["probabilities"] is None:
            yield image["image"], f"({image['status']})"
        else:
            named = sorted(((image["probabilities"][c], c) for c in image["labels"]), reverse=True)
            yield image["image"], ", ".join(f"{c} {p:.2f}" for p, c in named) or "-"


def _write(found: Predictions, path: Path, suffix: str) -> None:
    if suffix == ".json":
        path.write_text(json.dumps(found.to_json(), ensure_ascii=False, indent=1), "utf-8")
        return
    columns: dict[str, list[Any]] = {
        "image": [image["image"] for image in found.images],
        "status": [image["status"] for image in found.images],
        "labels": [";".join(image["labels"]) for image in found.images],
        "reason": [image["reason"] for image in found.images],
    }
    for name in found.classes:
        columns[f"p({name})"] = [image["probabilities"] and image["probabilities"][name] for image in found.images]
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), path)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
