"""A data set's entry in the manifest and its folder -> its `ImageTable`; one file a format on disk."""

from pathlib import Path

from ..errors import AevlpError
from ..manifest import DatasetSpec, ScenesSpec, TableSpec, VocSpec
from . import scenes, table, voc
from .image_table import ImageTable

__all__ = ["ImageTable", "load_images"]


def load_images(spec: DatasetSpec, root: Path | str | None = None, split: str | None = None) -> ImageTable:
    """Return the images of a data set, training rows first, each split in its published order.

    root: the data set's own folder; None for its usual place. split: "train" or "test" for one of them alone.
    Raises AevlpError where the folder or a file in it is not there or not as the format has it.
    """
    root = spec.default_root() if root is None else Path(root)
    match spec:
        case VocSpec():
            images = voc.read(spec, root)
        case TableSpec():
            images = table.read(spec, root)
        case ScenesSpec():
            images = scenes.read(spec, root)
        case _:
            raise AevlpError(f"{spec.name}: this version cannot read the format {spec.format!r} yet")
    if split is None:
        return images
    if split not in ("train", "test"):
        raise AevlpError(f"split must be train or test, found {split!r}")
    return images.take(images.split == split)
