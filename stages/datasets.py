"""The manifest -> what is on disk and what is missing."""

from pathlib import Path
from typing import Any

from ..pipeline.datasets import load_images
from ..pipeline.errors import AevlpError
from ..pipeline.images import file_size
from ..pipeline.manifest import DatasetSpec, ScenesSpec, load_manifest
from .console import out, print_json, print_table


def run(manifest: Path | None, root: Path | None, as_json: bool) -> None:
    """Print every data set of the manifest with its state and its counts against the expected ones."""
    states = {name: state(spec, root) for name, spec in load_manifest(manifest).datasets.items()}
    if as_json:
        print_json(states)
        return
    rows = [
        (
            name,
            s["title"],
            s["state"],
            *(_against(s["found"].get(key), s["expected"][key]) for key in ("classes", "train", "test")),
        )
        for name, s in states.items()
    ]
    header = ("name", "title", "state", "classes", "train", "test")
    print_table("Data sets (found / expected)", header, rows, right=(3, 4, 5))
    for name, s in states.items():
        if s["detail"]:
            out.print(f"{name}: {s['detail']}", markup=False)


def state(spec: DatasetSpec, root: Path | None) -> dict[str, Any]:
    """Return a data set's state: "found", "missing", "made when needed" or "no reader yet", and its counts."""
    folder = root or spec.default_root()
    result: dict[str, Any] = {
        "title": spec.title,
        "format": spec.format,
        "folder": str(folder),
        "expected": spec.expected.model_dump(),
        "found": {},
        "detail": "",
    }
    if not spec.readable:
        detail = f"its reader comes with a later version; the folder {folder} is {'there' if folder.is_dir() else 'not there'}"
        return {**result, "state": "no reader yet", "detail": detail}
    if isinstance(spec, ScenesSpec) and not folder.is_dir():
        return {**result, "state": "made when needed"}
    try:
        images = load_images(spec, folder)
    except AevlpError as error:
        return {**result, "state": "missing", "detail": str(error)}
    missing = sum(file_size(path) is None for path in images.paths)
    result["found"] = {
        "classes": len(images.classes),
        "train": int((images.split == "train").sum()),
        "test": int((images.split == "test").sum()),
        "missing_images": missing,
    }
    if missing:
        return {**result, "state": "images missing", "detail": f"{missing:,} of {len(images):,} images are not on disk"}
    return {**result, "state": "found"}


def _against(found: int | None, expected: int | None) -> str:
    return f"{'-' if found is None else format(found, ',')} / {'-' if expected is None else format(expected, ',')}"
