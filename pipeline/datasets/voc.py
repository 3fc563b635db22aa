"""The PASCAL VOC devkit: ImageSets/Main/<class>_<set>.txt and JPEGImages/."""

from pathlib import Path

import numpy as np

from ..errors import AevlpError
from ..manifest import VocSpec
from ..single_positive import observe
from .image_table import ImageTable, path_array


def read(spec: VocSpec, root: Path) -> ImageTable:
    """Return the images of both sets that show at least one class, sorted by id within each set.

    Only the flag 1 counts as present: 0 (difficult) and -1 are absent. An id of the training set is not listed again.
    """
    folder = _devkit(spec, root)
    known: set[str] = set()
    ids: list[str] = []
    splits: list[str] = []
    truth: list[np.ndarray] = []
    observed: list[np.ndarray] = []
    for split in ("train", "test"):
        if split not in spec.splits:
            continue
        present = _present(folder, spec.classes, spec.splits[split])
        names = sorted(name for name in present if name not in known)
        known.update(names)
        labels = np.zeros((len(names), len(spec.classes)), dtype=np.int8)
        for row, name in zip(labels, names, strict=True):
            row[present[name]] = 1
        ids += names
        splits += [split] * len(names)
        truth.append(labels)
        observed.append(observe(labels))
    if not ids:
        raise AevlpError(
            f"{spec.name}: the lists in {folder / 'ImageSets' / 'Main'} mark no image as showing any class"
        )
    return ImageTable(
        ids=np.array(ids),
        paths=path_array([folder / "JPEGImages" / f"{name}.jpg" for name in ids]),
        split=np.array(splits),
        truth=np.concatenate(truth),
        observed=np.concatenate(observed),
        classes=spec.classes,
        root=root,
    )


def _devkit(spec: VocSpec, root: Path) -> Path:
    """Return the folder that holds ImageSets/Main: the manifest's, or that of the one year there is."""
    years = [spec.folder, *(p.relative_to(root).as_posix() for p in sorted(root.glob("VOCdevkit/VOC2*")))]
    for folder in years:
        if (root / folder / "ImageSets" / "Main").is_dir():
            return root / folder
    raise AevlpError(
        f"{spec.name}: no {root / spec.folder / 'ImageSets' / 'Main'}: unpack "
        f"{' and '.join(d.url for d in spec.downloads) or 'the devkit'} in {root}, or pass the folder that holds "
        f"{Path(spec.folder).parts[0]} as --data-root"
    )


def _present(folder: Path, classes: tuple[str, ...], image_set: str) -> dict[str, list[int]]:
    present: dict[str, list[int]] = {}
    for column, name in enumerate(classes):
        path = folder / "ImageSets" / "Main" / f"{name}_{image_set}.txt"
        if not path.is_file():
            raise AevlpError(f"no list {path}: the image set {image_set} needs one for each of {len(classes)} classes")
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError as error:
            raise AevlpError(f"{path} is not the text of a list: {error}") from error
        for number, line in enumerate(lines, 1):
            fields = line.split()
            if not fields:
                continue
            if len(fields) < 2 or fields[-1] not in ("1", "0", "-1"):
                raise AevlpError(f"{path}, line {number}: expected an image id and 1, 0 or -1, found {line.strip()!r}")
            if fields[-1] == "1":
                present.setdefault(fields[0], []).append(column)
    return present
