"""The same labelled pictures in the shapes that people have them in: each function writes one below a folder and returns it."""

import csv
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("bird", "cat", "dog", "fish")
IMAGES = 40


def labels(images: int = IMAGES, seed: int = 3) -> dict[str, frozenset[str]]:
    """Return the labels of pictures by their names: each class of some, one to three a picture."""
    random = np.random.default_rng(seed)
    return {
        f"{n:03d}.png": frozenset(random.choice(CLASSES, size=random.integers(1, 4), replace=False).tolist())
        for n in range(images)
    }


def draw(folder: Path, names: list[str] | dict[str, frozenset[str]], seed: int = 5) -> None:
    """Write a picture for each name, no two alike."""
    random = np.random.default_rng(seed)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (6, 7, 3), dtype=np.uint8)).save(folder / name)


def table(folder: Path, given: dict[str, frozenset[str]], delimiter: str, between: str, name: str = "mine.csv") -> Path:
    draw(folder, given)
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(("file", "width", "tags"))
        writer.writerows((image, 7, between.join(sorted(names))) for image, names in given.items())
    return folder / name


def comma(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    return table(folder, given, ",", ";")


def semicolon(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    return table(folder, given, ";", ",")


def tab(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    return table(folder, given, "\t", "|", "mine.tsv")


def spaces(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    return table(folder, given, ",", " ")


def ids(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    """Images named by their numbers alone, in a folder of their own."""
    draw(folder / "pictures", [f"{int(image[:3])}.png" for image in given])
    rows = "".join(f"{int(image[:3])},{';'.join(sorted(names))}\n" for image, names in given.items())
    (folder / "mine.csv").write_text(f"id,labels\n{rows}")
    return folder / "mine.csv"


def one_hot(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    draw(folder, given)
    rows = [",".join([image, *(str(int(name in names)) for name in CLASSES)]) for image, names in given.items()]
    (folder / "mine.csv").write_text("\n".join([f"filename,{','.join(CLASSES)}", *rows]) + "\n")
    return folder / "mine.csv"


def json_lines(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    draw(folder, given)
    rows = [json.dumps({"image": image, "labels": sorted(names)}) for image, names in given.items()]
    (folder / "mine.jsonl").write_text("\n".join(rows) + "\n")
    return folder / "mine.jsonl"


def parquet(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw(folder, given)
    columns = {"image": list(given), "labels": [sorted(names) for names in given.values()]}
    pq.write_table(pa.table(columns), folder / "mine.parquet")
    return folder / "mine.parquet"


def coco(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    draw(folder / "pictures", given)
    images = [{"id": n, "file_name": image, "width": 7, "height": 6} for n, image in enumerate(given)]
    marks = [
        {"id": 10 * n + k, "image_id": n, "category_id": 1 + CLASSES.index(name), "bbox": [0, 0, 2, 2], "area": 4}
        for n, names in enumerate(given.values())
        for k, name in enumerate(sorted(names))
    ]
    categories = [{"id": n, "name": name} for n, name in enumerate(CLASSES, 1)]
    (folder / "mine.json").write_text(json.dumps({"images": images, "annotations": marks, "categories": categories}))
    return folder / "mine.json"


def class_folders(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    """A folder a class, so one label a picture: the first of it."""
    draw(folder, [f"{min(names)}/{image}" for image, names in given.items()])
    return folder


def tars(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    draw(folder / "loose", given)
    for shard in range(2):
        with tarfile.open(folder / f"shard-{shard:03d}.tar", "w") as tar:
            for image, names in list(given.items())[shard::2]:
                _add(tar, image, (folder / "loose" / image).read_bytes())
                _add(tar, image.replace(".png", ".json"), json.dumps({"tags": sorted(names)}).encode())
    for image in given:
        (folder / "loose" / image).unlink()
    (folder / "loose").rmdir()
    return folder


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def hugging_face(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    """Parquet files as the hub has them: the pictures inside, ClassLabel numbers."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    draw(folder / "loose", given)
    kind = {"feature": {"names": list(CLASSES), "_type": "ClassLabel"}, "_type": "Sequence"}
    features = {"info": {"features": {"picture": {"_type": "Image"}, "objects": kind}}}
    columns = {
        "picture": [{"bytes": (folder / "loose" / image).read_bytes(), "path": image} for image in given],
        "objects": [[CLASSES.index(name) for name in sorted(names)] for names in given.values()],
    }
    whole = pa.table(columns).replace_schema_metadata({"huggingface": json.dumps(features)})
    (folder / "data").mkdir(parents=True)
    pq.write_table(whole, folder / "data" / "train-00000-of-00001.parquet")
    for image in given:
        (folder / "loose" / image).unlink()
    (folder / "loose").rmdir()
    return folder


def pictures(folder: Path, given: dict[str, frozenset[str]]) -> Path:
    """Pictures alone, without a label."""
    draw(folder, given)
    return folder


Writer = Callable[[Path, dict[str, frozenset[str]]], Path]
LABELLED: dict[str, Writer] = {
    "class_folders": class_folders, "comma": comma, "semicolon": semicolon, "tab": tab, "one_hot": one_hot, "ids": ids,
    "spaces": spaces, "json_lines": json_lines, "parquet": parquet, "coco": coco, "tars": tars, "hugging_face": hugging_face,
}  # fmt: skip


def put_in(shape: str, given: dict[str, frozenset[str]]) -> list[tuple[str, ...]]:
    """Return the labels that a shape holds, sorted by image."""
    one = shape == "class_folders"
    return [(min(names),) if one else tuple(sorted(names)) for _, names in sorted(given.items())]
