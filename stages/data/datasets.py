"""The manifest -> what is on disk and what is missing; a data set's archives fetched, its labels written for other programs."""

from pathlib import Path
from typing import Any

from ...pipeline.datasets import load_images
from ...pipeline.datasets.formatted import export
from ...pipeline.errors import AevlpError
from ...pipeline.files.atomic_write import replacing
from ...pipeline.files.download import fetch
from ...pipeline.files.stamps import file_size
from ...pipeline.files.unpack import unpack
from ...pipeline.manifest.formats import DatasetSpec, ScenesSpec
from ...pipeline.manifest.load import load_manifest
from ...pipeline.manifest.sections import Download
from ..console import byte_progress, out, print_json, print_table, say
from ..interrupted import keeping


def run(name: str | None, manifest: list[Path] | None, root: Path | None, as_json: bool) -> None:
    """Print every data set of the manifest, or one, with its state and its counts against the expected ones."""
    known = load_manifest(manifest)
    specs = known.datasets if name is None else {name: known[name]}
    states = {key: state(spec, root) for key, spec in specs.items()}
    if as_json:
        print_json(states)
        return
    rows = [
        (
            key,
            s["title"],
            s["state"],
            *(_against(s["found"].get(kind), s["expected"][kind]) for kind in ("classes", "train", "test")),
        )
        for key, s in states.items()
    ]
    header = ("name", "title", "state", "classes", "train", "test")
    print_table("Data sets (found / expected)", header, rows, right=(3, 4, 5))
    for key, s in states.items():
        if s["detail"]:
            out.print(f"{key}: {s['detail']}", markup=False)


def state(spec: DatasetSpec, root: Path | None) -> dict[str, Any]:
    """Return a data set's state and its counts.

    "found"; "counts differ" from the expected ones; "images missing"; "incomplete", where its folder is there and cannot be
    read; "missing"; "made when needed".
    """
    folder = root or spec.default_root()
    result: dict[str, Any] = {
        "title": spec.title,
        "format": spec.format,
        "folder": str(folder),
        "expected": spec.expected.model_dump(),
        "found": {},
        "detail": "",
    }
    if isinstance(spec, ScenesSpec) and not folder.is_dir():
        return {**result, "state": "made when needed"}
    try:
        images = load_images(spec, folder)
    except AevlpError as error:
        return {
            **result,
            "state": "incomplete" if folder.is_dir() else "missing",
            "detail": str(error).removeprefix(f"{spec.name}: "),
        }
    missing = [path for path in images.paths.tolist() if file_size(path) is None]
    result["found"] = {
        "classes": len(images.classes),
        "train": int((images.split == "train").sum()),
        "test": int((images.split == "test").sum()),
        "missing_images": len(missing),
    }
    if missing:
        first = ", ".join(path.relative_to(folder).as_posix() for path in missing[:3])
        detail = (
            f"{len(missing):,} of {len(images):,} images are not on disk: {first}{', …' if len(missing) > 3 else ''}"
        )
        return {**result, "state": "images missing", "detail": detail}
    if any(number not in (None, result["found"][kind]) for kind, number in result["expected"].items()):
        return {**result, "state": "counts differ"}
    return {**result, "state": "found"}


def download(name: str, manifest: list[Path] | None, root: Path | None) -> None:
    """Fetch and unpack a data set's archives in its folder, or print the steps where they are not to be fetched."""
    spec = load_manifest(manifest)[name]
    folder = root or spec.default_root()
    if not spec.downloads:
        if spec.steps is None:
            raise AevlpError(f"{name}: the manifest names no archives to fetch")
        out.print(f"{spec.title} cannot be fetched by a program.\n{spec.steps.strip()}\nin {folder}", markup=False)
        return
    if (found := state(spec, folder))["state"] in ("found", "counts differ"):
        out.print(f"{name}: {found['found']['train'] + found['found']['test']:,} images are in {folder} already")
        return
    with keeping("what was fetched and unpacked is kept; the same command goes on"):
        archives = _fetched(spec, folder)
    after = state(spec, folder)
    if after["state"] not in ("found", "counts differ"):
        raise AevlpError(f"{name}: the archives are unpacked in {folder}, and yet: {after['detail']}")
    size = sum(path.stat().st_size for path in archives) / 1e9
    out.print(
        f"{name}: {after['found']['train'] + after['found']['test']:,} images in {folder}; its archives ({size:,.1f} GB) are "
        f"not needed any more: {', '.join(path.name for path in archives)}"
    )
    more = "".join(f" --manifest {path}" for path in manifest or []) + (f" --data-root {root}" if root else "")
    out.print(f"next: aevlp check {name}{more} · aevlp pseudolabel --dataset {name}{more}", soft_wrap=True)


def _fetched(spec: DatasetSpec, folder: Path) -> list[Path]:
    """Fetch and unpack the archives that are needed; return where they are."""
    archives = []
    for archive in needed_archives(spec, folder):
        path = folder / archive.file
        with byte_progress(f"fetching {path.name}", archive.size) as advance:
            fetch(archive.url, path, archive.md5, archive.size, advance)
        archives.append(path)
    for path in archives:
        with byte_progress(f"unpacking {path.name}", None) as advance:
            unpack(path, folder, advance)
    return archives


def needed_archives(spec: DatasetSpec, folder: Path) -> list[Download]:
    """Return the archives that are needed: those that hold missing images, or all where the labels cannot be read."""
    try:
        gone = [path for path in load_images(spec, folder).paths.tolist() if file_size(path) is None]
    except AevlpError:
        return list(spec.downloads)
    holding = [d for d in spec.downloads if d.images and any(p.is_relative_to(folder / d.images) for p in gone)]
    return holding or list(spec.downloads)


def write_formatted(name: str, manifest: list[Path] | None, root: Path | None, target: Path) -> None:
    """Write a data set's labels as formatted_{train,val}_{images,labels,labels_obs}.npy, and its class names beside them."""
    spec = load_manifest(manifest)[name]
    images = load_images(spec, root)
    # The types of the published files.
    paths = export(images, target, "int64" if spec.format == "cub" else "float64")
    names = target / "classes.txt"
    with replacing(names) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in images.classes), encoding="utf-8")
    for path in (*paths, names):
        out.print(str(path), markup=False)
    say(
        f"to read them here: format: formatted, folder: {target.absolute()}, classes: {names.absolute()}, and "
        f"{images.image_root.absolute()} as --data-root"
    )


def _against(found: int | None, expected: int | None) -> str:
    return f"{'-' if found is None else format(found, ',')} / {'-' if expected is None else format(expected, ',')}"
