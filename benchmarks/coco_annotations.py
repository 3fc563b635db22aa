"""Reading a COCO-sized annotation file: seconds and peak memory of `load_images`, beside json.load and a plain loop.

Usage: python benchmarks/coco_annotations.py [--images 82000] [--annotations 600000] [--rounds 3]
The file is generated, with outlines as in the official one; each reading runs in a process of its own.
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

CLASSES = 80
POINTS = 22  # of an outline, on average: the official training file has about 45 numbers an annotation


def generate(root: Path, images: int, annotations: int) -> Path:
    """Write annotation files for train (of this size) and val (small); return the path of the first."""
    random = np.random.default_rng(0)
    folder = root / "annotations"
    folder.mkdir(parents=True)
    categories = [{"supercategory": "thing", "id": n + 1 + n // 10, "name": f"class {n}"} for n in range(CLASSES)]
    for name, pictures, objects in (("train", images, annotations), ("val", 100, 500)):
        path = folder / f"instances_{name}2014.json"
        ids = random.permutation(600_000)[:pictures]
        with path.open("w") as file:
            file.write('{"info": {}, "licenses": [], "images": [')
            for n, image in enumerate(ids.tolist()):
                record = {
                    "license": 1,
                    "file_name": f"COCO_{name}2014_{image:012d}.jpg",
                    "coco_url": f"http://images.example/{name}2014/COCO_{name}2014_{image:012d}.jpg",
                    "height": 480,
                    "width": 640,
                    "date_captured": "2013-11-14 16:28:13",
                    "flickr_url": f"http://pictures.example/{image}_z.jpg",
                    "id": image,
                }
                file.write((", " if n else "") + json.dumps(record))
            file.write('], "annotations": [')
            of_image = random.choice(ids, objects)
            of_class = random.integers(CLASSES, size=objects)
            for n in range(objects):
                outline = (random.random(2 * POINTS) * 480).round(2).tolist()
                record = {
                    "segmentation": [outline],
                    "area": round(float(random.random() * 9000), 4),
                    "iscrowd": 0,
                    "image_id": int(of_image[n]),
                    "bbox": (random.random(4) * 300).round(2).tolist(),
                    "category_id": categories[of_class[n]]["id"],
                    "id": n,
                }
                file.write((", " if n else "") + json.dumps(record))
            file.write(f'], "categories": {json.dumps(categories)}}}')
    return folder / "instances_train2014.json"


def read_with_aevlp(root: Path) -> int:
    from aevlp.pipeline.datasets import load_images
    from aevlp.pipeline.manifest.load import load_manifest

    images = load_images(load_manifest()["coco"], root)
    assert images.truth is not None
    return int(images.truth[images.split == "train"].sum())


def read_with_json(root: Path) -> int:
    """The plain way: the whole file as Python objects, then a loop."""
    content = json.loads((root / "annotations" / "instances_train2014.json").read_text())
    column = {category["id"]: n for n, category in enumerate(content["categories"])}
    names = sorted({str(annotation["image_id"]) for annotation in content["annotations"]})
    row = {name: n for n, name in enumerate(names)}
    labels = np.zeros((len(names), len(column)))
    for annotation in content["annotations"]:
        labels[row[str(annotation["image_id"])], column[annotation["category_id"]]] = 1
    return int(labels.sum())


READERS = {"aevlp": read_with_aevlp, "json.load": read_with_json}


def measured(name: str, root: Path) -> dict[str, float]:
    """Return seconds and peak memory of one reading, in a process of its own."""
    command = [sys.executable, __file__, "--read", name, "--root", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=82_000)
    parser.add_argument("--annotations", type=int, default=600_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--read", choices=READERS, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.read:
        started = time.monotonic()
        positives = READERS[given.read](given.root)
        seconds = time.monotonic() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps({"seconds": seconds, "peak_bytes": peak, "positives": positives}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = generate(Path(folder), given.images, given.annotations)
        size = path.stat().st_size
        rounds: dict[str, list[dict[str, float]]] = {name: [] for name in READERS}
        for _ in range(given.rounds):  # alternating, so that a busy machine is busy for both
            for name in READERS:
                rounds[name].append(measured(name, Path(folder)))
    assert len({round_["positives"] for results in rounds.values() for round_ in results}) == 1
    table = {
        name: {
            "seconds": statistics.median(r["seconds"] for r in results),
            "peak_gb": max(r["peak_bytes"] for r in results) / 1e9,
        }
        for name, results in rounds.items()
    }
    print(f"{given.images:,} images, {given.annotations:,} annotations, {size / 1e6:,.0f} MB")
    for name, row in table.items():
        print(f"{name:10} {row['seconds']:6.2f} s   peak {row['peak_gb']:.2f} GB")
    plain, ours = table["json.load"], table["aevlp"]
    print(
        f"json.load takes {plain['seconds'] / ours['seconds']:.2f} times as long and "
        f"{plain['peak_gb'] / ours['peak_gb']:.1f} times the memory"
    )
    print(
        json.dumps(
            {
                "bytes": size,
                "machine": f"{platform.platform()}, {os.cpu_count()} cores",
                "python": platform.python_version(),
                **table,
            }
        )
    )


if __name__ == "__main__":
    main()
