"""A run folder and image files -> labels with probabilities."""

import csv
import glob
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...pipeline.clip.image_tower import features_of
from ...pipeline.errors import AevlpError
from ...pipeline.files.atomic_write import replacing
from ...pipeline.files.file_reading import counted, find_pictures
from ...pipeline.files.image_formats import MAX_PIXELS
from ...pipeline.images.decoders import fastest
from ...pipeline.images.view_loading import ViewBatch, ViewDataset, load_views
from ...pipeline.manifest.formats import PACKAGED
from ...pipeline.runtime.device import find_device
from ...pipeline.training.classifier import Architecture
from ...pipeline.training.inputs import normalized, scaling
from ...pipeline.training.loop import predict_logits
from ...pipeline.training.run_folder import RunFolder
from ..cache_origin import scoring_encoder
from ..console import Rate, out, print_json, print_table, progress_bar, say
from ..new_files import check_unused

BATCH = 32


def run(
    path: Path,
    names: list[str],
    output: Path | None,
    threshold: float,
    device_name: str | None,
    workers: int,
    as_json: bool,
    max_pixels: int = MAX_PIXELS,
) -> None:
    """Print or write the labels of every image; one that cannot be read is named with its reason and costs no other."""
    if output is not None and output.suffix not in (".csv", ".json", ".parquet"):
        raise AevlpError(f"--output {output}: expected a .csv, .json or .parquet file")
    if output is not None:
        check_unused(output)
    files = find_images(names)
    device = find_device(device_name)
    say(f"labelling {len(files):,} images with the best weights of {path}")
    classifier, architecture, description = RunFolder(path).load_best()
    classifier.to(device)
    tower = _tower(RunFolder(path), description).to(device) if architecture.backbone == "linear" else None

    compat = "paper" if architecture.upright else "published"
    size, resize = architecture.size, architecture.resize
    dataset = ViewDataset(files, 1, size, compat, resize, fastest(), max_pixels=max_pixels)
    results: list[dict[str, Any]] = []
    with progress_bar(Rate("images")) as bar:
        task = bar.add_task("predicting", total=len(files))
        numbers = range(len(files))
        for batch in load_views(dataset, [list(numbers[n : n + BATCH]) for n in numbers[::BATCH]], workers):
            here = files[len(results) : len(results) + len(batch.status)]
            inputs = _inputs(batch, architecture, tower, device)
            logits = iter(predict_logits(classifier, [(np.empty(0), inputs)], torch.no_grad()) if len(inputs) else ())
            for file, status, reason in zip(here, batch.status, batch.reason, strict=True):
                probabilities = None
                if status == "ok":
                    values = 1 / (1 + np.exp(-next(logits).astype(np.float64)))
                    probabilities = dict(zip(description["classes"], values.tolist(), strict=True))
                results.append(
                    {
                        "image": str(file),
                        "status": status,
                        "labels": [c for c, p in (probabilities or {}).items() if p >= threshold],
                        "probabilities": probabilities,
                        "reason": reason,
                    }
                )
            bar.advance(task, len(here))
    _report(results, description["classes"], output, as_json)


def find_images(names: list[str]) -> list[Path]:
    """Return the image files meant by files, folders (searched through) and glob patterns, each once, in order.

    What lies in a folder and is no picture is said, by kind.
    """
    found: dict[Path, None] = {}
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = find_pictures(path)
            left_out = f"left out of {path}: {counted(inside.left_out)}" if inside.left_out else ""
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


def _tower(folder: RunFolder, description: dict[str, Any]) -> nn.Module:
    """Return what makes the embeddings that a linear classifier reads: the run's own tower, or that of the scoring model."""
    visual = folder.load_tower()
    if visual is None:  # of an earlier version, or trained where the scoring model was not
        manifests = Path(description["manifest"] or PACKAGED).parent
        visual = scoring_encoder(description, manifests, torch.device("cpu")).model.visual
    return features_of(visual)


def _inputs(
    batch: ViewBatch, architecture: Architecture, tower: nn.Module | None, device: torch.device
) -> torch.Tensor:
    if not len(batch.views):
        return torch.empty(0)
    whole = batch.views[:, 0].to(device).permute(0, 2, 3, 1)
    pixels = normalized(whole, scaling(architecture.mean, architecture.std, device))
    if tower is None:
        return pixels
    with torch.inference_mode():
        return functional.normalize(tower(pixels).float(), dim=-1)


def _report(results: list[dict[str, Any]], classes: list[str], output: Path | None, as_json: bool) -> None:
    failed = [r for r in results if r["status"] != "ok"]
    if as_json:
        print_json({"classes": classes, "images": results})
    if output is not None:
        with replacing(output) as temporary:
            _write(results, classes, temporary, output.suffix)
        say(f"{output}: {len(results) - len(failed):,} images labelled")
    if output is None and not as_json:
        rows = list(_lines(results))
        print_table("Predicted labels", ("image", "labels"), rows)
        out.print(f"{len(results) - len(failed):,} images labelled")
    if failed:
        say(f"{len(failed):,} images not labelled:")
    for result in failed[:10]:
        say(f"  {result['reason']}")
    if len(failed) > 10:
        say(f"  … and {len(failed) - 10:,} more; --json and --output have all")
    if len(failed) == len(results):
        raise AevlpError(f"none of the {len(results)} images can be read")


def _lines(results: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    for result in results:
        if result["probabilities"] is None:
            yield result["image"], f"({result['status']})"
        else:
            named = sorted(((result["probabilities"][c], c) for c in result["labels"]), reverse=True)
            yield result["image"], ", ".join(f"{c} {p:.2f}" for p, c in named) or "-"


def _write(results: list[dict[str, Any]], classes: list[str], path: Path, suffix: str) -> None:
    if suffix == ".json":
        path.write_text(json.dumps({"classes": classes, "images": results}, ensure_ascii=False, indent=1), "utf-8")
        return
    columns: dict[str, list[Any]] = {
        "image": [r["image"] for r in results],
        "status": [r["status"] for r in results],
        "labels": [";".join(r["labels"]) for r in results],
    }
    for name in classes:
        columns[f"p({name})"] = [r["probabilities"] and r["probabilities"][name] for r in results]
    if suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(columns), path)
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
