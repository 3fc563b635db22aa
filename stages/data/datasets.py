"""The manifest -> what is on disk and what is missing; a data set's archives fetched, its labels written for other programs."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...pipeline.datasets import load_images
from ...pipeline.datasets.formatted import export
from ...pipeline.errors import AevlpError, counted
from ...pipeline.files.atomic_write import replacing
from ...pipeline.files.download import fetch
from ...pipeline.files.stamps import file_size
from ...pipeline.files.unpack import unpack
from ...pipeline.manifest.formats import DatasetSpec, ScenesSpec
from ...pipeline.manifest.load import load_manifest
from ...pipeline.manifest.sections import Download
from ..console import byte_progress, out, print_table, say
from ..declaration import takes
from ..interrupted import keeping
from ..results import Table
from .options import DatasetsOptions

COUNTED = ("classes", "train", "test")


@dataclass(frozen=True, repr=False)
class DatasetList(Table):
    """Data sets and their states, a row each. done: what was fetched or written, as lines."""

    states: dict[str, dict[str, Any]]
    done: tuple[str, ...] = ()

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """The data sets: name, title, state, and classes and images, found and expected."""
        return [
            {
                "name": name,
                "title": of["title"],
                "state": of["state"],
                **{kind: of["found"].get(kind) for kind in COUNTED},
                **{f"expected_{kind}": of["expected"][kind] for kind in COUNTED},
            }
            for name, of in self.states.items()
        ]

    def summary(self) -> dict[str, Any]:
        """Return the state of each."""
        return {name: of["state"] for name, of in self.states.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the states by name."""
        return self.states


@takes(DatasetsOptions)
def datasets(options: DatasetsOptions) -> DatasetList:
    """Return every data set of the manifest, or one, with its state and its counts against the expected ones.

    download: its archives are fetched and unpacked first; export: its labels are written for other programs. Raises AevlpError
    for an unknown name, and where one of the two has no name, or fails.
    """
    known = load_manifest(options.manifest)
    name, root = options.name, options.data_root
    if name is None and (options.download or options.export):
        raise AevlpError("--download and --export need the name of a data set")
    done: list[str] = []
    if name is not None and options.download:
        done += _download(known[name], options)
    if name is not None and options.export:
        done += _export(known[name], root, options.export)
    specs = known.datasets if name is None else {name: known[name]}
    return DatasetList({key: state(spec, root) for key, spec in specs.items()}, tuple(done))


def show(found: DatasetList) -> None:
    """Print what was done, or the table of data sets."""
    for line in found.done:
        out.print(line)
    if found.done:
        return
    rows = [
        (
            key,
            s["title"],
            s["state"],
            *(_against(s["found"].get(kind), s["expected"][kind]) for kind in COUNTED),
        )
        for key, s in found.states.items()
    ]
    header = ("name", "title", "state", *COUNTED)
    print_table("Data sets (found / expected)", header, rows, right=(3, 4, 5))
    for key, s in found.states.items():
        if s["detail"]:
            out.print(f"{key}: {s['detail']}")


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


def _download(spec: DatasetSpec, options: DatasetsOptions) -> list[str]:
    """Fetch and unpack a data set's archives in its folder; return what was done, or the steps where a person must do it."""
    name, folder = spec.name, options.data_root or spec.default_root()
    if not spec.downloads:
        if spec.steps is None:
            raise AevlpError(f"{name}: the manifest names no archives to fetch")
        return [f"{spec.title} cannot be fetched by a program.", *spec.steps.strip().splitlines(), f"in {folder}"]
    if (found := state(spec, folder))["state"] in ("found", "counts differ"):
        return [
            f"{name}: {counted(found['found']['train'] + found['found']['test'], 'image is', 'images are')} in {folder} already"
        ]
    with keeping("what was fetched and unpacked is kept; the same command resumes"):
        archives = _fetched(spec, folder)
    after = state(spec, folder)
    if after["state"] not in ("found", "counts differ"):
        raise AevlpError(f"{name}: the archives are unpacked in {folder}, and yet: {after['detail']}")
    size = sum(path.stat().st_size for path in archives) / 1e9
    root = options.data_root
    more = "".join(f" --manifest {path}" for path in options.manifest or []) + (f" --data-root {root}" if root else "")
    return [
        f"{name}: {counted(after['found']['train'] + after['found']['test'], 'image')} in {folder}; its archives "
        f"({size:,.1f} GB) are not needed any more: {', '.join(path.name for path in archives)}",
        f"next: aevlp check {name}{more} · aevlp pseudolabel --dataset {name}{more}",
    ]


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


def _export(spec: DatasetSpec, root: Path | None, target: Path) -> list[str]:
    """Write a data set's labels as formatted_{train,val}_{images,labels,labels_obs}.npy, and its class names beside them."""
    images = load_images(spec, root)
    # The types of the published files.
    paths = export(images, target, "int64" if spec.format == "cub" else "float64")
    names = target / "classes.txt"
    with replacing(names) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in images.classes), encoding="utf-8")
    say(
        f"to read them here: format: formatted, folder: {target.absolute()}, classes: {names.absolute()}, and "
        f"{images.image_root.absolute()} as --data-root"
    )
    return [str(path) for path in (*paths, names)]


def _against(found: int | None, expected: int | None) -> str:
    return f"{'-' if found is None else format(found, ',')} / {'-' if expected is None else format(expected, ',')}"
