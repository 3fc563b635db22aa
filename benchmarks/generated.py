"""Pictures, a data set of them, and a small CLIP, made for a benchmark; nothing in them means anything."""

import csv
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image

from aevlp.pipeline.clip.encoder import quiet

WIDTH, HEIGHT, QUALITY = 500, 375, 92


def pictures(folder: Path, count: int, width: int = WIDTH, height: int = HEIGHT) -> list[Path]:
    """Write JPEG files of smooth random colours and noise, of about a photograph's size in bytes, and return their paths."""
    random = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for number in range(count):
        corners = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        smooth = np.asarray(corners.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
        grain = random.normal(0, 8, (height, width, 1)).astype(np.float32)
        path = folder / f"{number:04d}.jpg"
        Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(path, quality=QUALITY)
        paths.append(path)
    return paths


def images(given: Path | None, folder: Path, count: int) -> list[Path]:
    """Return `count` JPEG files of a folder that is given, or else generated ones, of which 64 differ."""
    if given is None:
        return repeated(folder / "images", pictures(folder / "files", min(count, 64)), count)
    found = sorted(path for path in given.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))[:count]
    if len(found) < count:
        raise SystemExit(
            f"{given} holds {len(found)} JPEG files, expected at least {count}: ask for fewer with --count"
        )
    return found


def repeated(folder: Path, paths: Sequence[Path], count: int) -> list[Path]:
    """Return `count` names in `folder` for the files `paths`, as hard links: as many images, of little room on the disk."""
    folder.mkdir(parents=True, exist_ok=True)
    names = [folder / f"{number:07d}.jpg" for number in range(count)]
    for number, name in enumerate(names):
        os.link(paths[number % len(paths)], name)
    return names


def data_set(
    folder: Path, paths: Sequence[Path], classes: int, grid: int, batch: int = 8, size: int = 448, tests: int = 0
) -> Path:
    """Write a table of images with two labels each, and a manifest with an entry "generated"; return the manifest.

    batch, size: of training. tests: how many of the images, the last ones, are for testing.
    """
    names = class_names(classes)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "labels", "split"])
        for number, path in enumerate(paths):
            labels = sorted({names[number % classes], names[7 * number % classes]})
            split = "test" if number >= len(paths) - tests else "train"
            table.writerow([os.path.relpath(path, folder), ";".join(labels), split])
    entry = {
        "title": "Generated pictures",
        "format": "table",
        "table": "labels.csv",
        "split_column": "split",
        "classes": names,
        "damp": {"grid": grid},
        "recipe": {"image_size": size, "batch_size": batch},
        "expected_positives": 2.0,
    }
    manifest = folder / "generated.yaml"
    manifest.write_text(json.dumps({"datasets": {"generated": entry}}), encoding="utf-8")  # JSON is YAML
    return manifest


def class_names(count: int) -> list[str]:
    """Return so many names of two words, as long as those of the benchmarks."""
    return [f"coloured thing {number}" for number in range(count)]


def small_clip(folder: Path) -> Path:
    """Write the configuration of a CLIP of 32 pixels that takes next to no time, and return its path."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    path = folder / "benchmark-small.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


def random_clip(clip: str, device: torch.device) -> tuple[str, Any]:
    """Return open_clip's name of a model, or of a model-config JSON, and the model with random weights, ready to be used."""
    if clip.endswith(".json"):
        open_clip.add_model_config(clip)
    name = Path(clip).stem if clip.endswith(".json") else clip
    with quiet():
        return name, open_clip.create_model(name).to(device).eval()


def input_size(clip: Any) -> int:
    """Return how many pixels a side an open_clip model takes."""
    size = clip.visual.image_size
    return size if isinstance(size, int) else size[0]
