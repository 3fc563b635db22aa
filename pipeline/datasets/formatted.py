"""The formatted_{train,val}_{images,labels,labels_obs}.npy of Cole et al. (CVPR 2021), which every later repository reads.

"val" is the benchmarks' test set. images: (n,) text, paths below the image root. labels: (n, C) 0/1. labels_obs: (n, C)
-1, 0, +1, what was observed.
"""

import sys
from pathlib import Path

import numpy as np

from ..errors import AevlpError
from ..files.atomic_write import replacing
from ..manifest.formats import DatasetSpec, FormattedSpec
from .class_file import class_list
from .faults import Report, image_below_root, not_there
from .image_table import ImageTable, Listing, Listings
from .text_lists import distinct_ids

FILE_SPLITS = {"train": "train", "test": "val"}


def read(spec: FormattedSpec, root: Path, report: Report) -> Listings:
    """Return the images of the formatted files in their order; observed labels are taken from labels_obs where it is there."""
    classes = class_list(spec, root)
    if classes is None:
        raise AevlpError(f"{spec.name}: formatted files name no classes, the manifest must list them under `classes`")
    return read_formatted(spec, root, root / spec.folder, root / spec.images, classes)


def read_formatted(spec: DatasetSpec, root: Path, folder: Path, image_root: Path, classes: tuple[str, ...]) -> Listings:
    """Return the listings of a folder of formatted files; those of the test split may all be left out.

    Raises AevlpError for a file that is missing, of another length, shape or content, or an array of objects, which is
    never unpickled. An image that is listed twice keeps both rows, the second as id#2.
    """
    splits: dict[str, Listing] = {}
    files: list[Path] = []
    known: set[str] = set()
    for split, word in FILE_SPLITS.items():
        paths = {part: folder / f"formatted_{word}_{part}.npy" for part in ("images", "labels", "labels_obs")}
        if split == "test" and not any(path.exists() for path in paths.values()):
            continue
        for part in ("images", "labels"):
            if not paths[part].exists():
                raise not_there(spec, root, paths[part])
        names = _images(paths["images"])
        labels = _matrix(paths["labels"], paths["images"], len(names), classes, (0, 1))
        observed = None
        if paths["labels_obs"].exists():
            observed = _matrix(paths["labels_obs"], paths["images"], len(names), classes, (-1, 0, 1))
        if split == "test" and (observed is None) != (splits["train"].observed is None):
            raise AevlpError(
                f"{folder}: formatted_{{train,val}}_labels_obs.npy are needed both, and one is there: write the other, or "
                f"remove it to have the labels observed anew"
            )
        files += [path for path in paths.values() if path.exists()]
        paths_below = [image_root / name for name in names]
        splits[split] = Listing(distinct_ids(names, known), paths_below, labels, observed)
    return Listings(classes, splits, image_root, files)


def export(images: ImageTable, folder: Path, dtype: str = "float64") -> list[Path]:
    """Write the formatted files of a table below `folder` and return their paths.

    dtype: of the label arrays; the published ones are float64 for VOC and COCO, int64 for CUB.
    Raises AevlpError where full labels are not known, or a file is there already.
    """
    if images.truth is None:
        raise AevlpError("the formatted files hold full labels, and this data set has only observed ones")
    targets = []
    for split, word in FILE_SPLITS.items():
        rows = images.split == split
        if not rows.any():
            continue
        names = [path.relative_to(images.image_root).as_posix() for path in images.paths[rows]]
        for part, array in (
            ("images", np.array(names, dtype=str)),
            ("labels", images.truth[rows].astype(dtype)),
            ("labels_obs", images.observed[rows].astype(dtype)),
        ):
            targets.append((folder / f"formatted_{word}_{part}.npy", array))
    if there := [path for path, _ in targets if path.exists()]:
        raise AevlpError(f"{there[0]} is there already: choose another folder, or remove it")
    for path, array in targets:
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
    return [path for path, _ in targets]


def _load(path: Path) -> np.ndarray:
    """Return the array of a .npy file, by its own reader: np.load takes what is none for a pickle or an archive."""
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except OSError as error:
        raise AevlpError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged header is met with exceptions of many kinds, such as tokenize's
        if "allow_pickle" in str(error):
            raise AevlpError(
                f"{path} holds Python objects, which could run code and are never unpickled: write it anew as text or numbers"
            ) from error
        found = " ".join(str(error).split())[:160]
        raise AevlpError(f"{path} is not a whole .npy array: {found}; fetch or write it again") from error


def _images(path: Path) -> list[str]:
    array = _load(path)
    if array.ndim != 1 or array.dtype.kind != "U":
        raise AevlpError(f"{path}: expected a list of paths as text, found {array.dtype} of shape {array.shape}")
    codes = np.frombuffer(array.astype(array.dtype.newbyteorder("=")).tobytes(), dtype=np.uint32)
    if len(codes) and codes.max() > sys.maxunicode:  # of which NumPy would make strings that are none
        row = codes.argmax() * len(array) // len(codes)
        raise AevlpError(
            f"{path}, row {row}: the path holds a code that is no character; fetch or write the file again"
        )
    return [image_below_root(str(name), f"{path}, row {row}") for row, name in enumerate(array)]


def _matrix(path: Path, images: Path, rows: int, classes: tuple[str, ...], values: tuple[int, ...]) -> np.ndarray:
    array = _load(path)
    if array.dtype.kind not in "biuf" or array.ndim != 2:
        raise AevlpError(f"{path}: expected a matrix of numbers, found {array.dtype} of shape {array.shape}")
    if len(array) != rows:
        raise AevlpError(
            f"{path} has {len(array):,} rows and {images.name} lists {rows:,} images: they must be as many"
        )
    if array.shape[1] != len(classes):
        raise AevlpError(f"{path} has {array.shape[1]} columns, and there are {len(classes)} class names")
    odd = np.argwhere(~np.isin(array, values))
    if len(odd):
        row, column = odd[0]
        raise AevlpError(f"{path}, row {row}, column {column}: expected one of {values}, found {array[row, column]}")
    return array.astype(np.int8)
