"""A folder of images of which no label is known, with the names of what they may show."""

from pathlib import Path

import numpy as np

from ..errors import AevlpError
from ..files.file_reading import NOT_TEXT, find_pictures, kinds_counted
from ..manifest.formats import ImagesSpec
from .class_file import class_list
from .faults import DataError, Remark, Report
from .image_table import Listing, Listings


def read(spec: ImagesSpec, root: Path, report: Report) -> Listings:
    """Return the images below the root, paths sorted, all for training; an image's id is its path below the root.

    What is no picture (`file_reading.find_pictures`) or hidden is left out and counted in a remark. A name that is no text is
    reported. Raises AevlpError where the folder is not there.
    """
    if not root.is_dir():
        raise AevlpError(f"{spec.name}: no folder {root}: pass the folder of the images as --data-root")
    classes = class_list(spec, root, report) or ()
    found = find_pictures(root)
    for name in found.left_out.pop(NOT_TEXT, ()):
        report(DataError("bad row", f"{root}: the name {name!r} is not UTF-8 text: rename it"))
    ids = [path.relative_to(root).as_posix() for path in found.images]
    labels = np.zeros((len(ids), len(classes)), dtype=np.int8)
    remarks = [Remark("left out", f"left out of {root}: {kinds_counted(found.left_out)}")] if found.left_out else []
    splits = {"train": Listing(ids, found.images, labels)}
    return Listings(classes, splits, root, [], complete=False, remarks=remarks)
