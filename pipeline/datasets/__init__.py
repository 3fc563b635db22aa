"""A data set's entry in the manifest and its folder -> its `ImageTable`; one file a format on disk."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AevlpError
from ..files.locations import forget_listings, location
from ..labels import observation as regimes
from ..labels.observation import NONE, checked
from ..labels.splits import SPLITS
from ..manifest.formats import DatasetSpec
from .content_split import Placed, divided
from .faults import DataError, Report, refuse
from .image_table import ImageTable, Listing, Listings, path_array

__all__ = ["DataError", "ImageTable", "load_images"]

# Format -> module with `read(spec, root, report) -> Listings`; imported when it is needed.
READERS = {
    "voc": "voc",
    "coco": "coco",
    "coco_json": "coco",
    "nuswide": "nuswide",
    "cub": "cub",
    "formatted": "formatted",
    "table": "table",
    "image_folder": "image_folder",
    "images": "unlabelled",
    "webdataset": "webdataset",
    "huggingface": "huggingface",
    "scenes": "scenes",
}


def load_images(
    spec: DatasetSpec,
    root: Path | str | None = None,
    split: str | None = None,
    simulate: dict[str, Any] | str | None = None,
    report: Report = refuse,
    placed: Placed | None = None,
) -> ImageTable:
    """Return the images of a data set, training rows first, each split in its published order.

    root: the data set's own folder, also of a remote store (`pipeline.files.locations`), which is listed anew; None for its usual
    place. split: "train", "val" or "test" for one of them alone.
    simulate: the regime that hides some of full labels, as `pipeline.labels.observation.checked` takes it, "none" for none; None
    for the manifest's. Where nothing is hidden every positive is observed, or what the data set itself gives as observed, which
    stands before a `single-positive` of the manifest too: it is the published draw, as Cole et al. kept it.
    report: is told of each faulty row, which is then left out; by default the first is raised.
    placed: of images that were put in their split by `split_by` before, as `split_by_content` takes it; their files are not read.
    Raises AevlpError where the folder or a file in it is not there or not as the format has it.
    """
    asked = None if simulate is None else checked(simulate)
    root = spec.default_root() if root is None else location(root)
    forget_listings()
    if split not in (None, *SPLITS):
        raise AevlpError(f"split must be train, val or test, found {split!r}")
    listings = import_module(f".{READERS[spec.format]}", __name__).read(spec, root, report)
    if spec.split_by is not None:
        listings = divided(spec, root, listings, spec.split_by.content, placed or {})
    images = _joined(spec, root, listings, asked)
    return images if split is None else images.take(images.split == split)


def _joined(spec: DatasetSpec, root: Path, listings: Listings, asked: dict[str, Any] | None) -> ImageTable:
    parts = {name: listings.splits[name] for name in SPLITS if name in listings.splits}
    if not any(part.ids for part in parts.values()):
        raise AevlpError(f"{spec.name}: no image is listed in {root}, at least one is needed")
    given = all(part.observed is not None for part in parts.values())
    regime = asked or spec.simulate or NONE
    if not listings.complete:
        if regime != NONE:
            raise AevlpError(
                f"{spec.name}: its labels are the observed ones (`labels: observed`), there are no full labels for the regime "
                f"{regime['regime']} to choose from: leave --simulate and `simulate` out, or say --simulate none"
            )
        observed = [part.labels for part in parts.values()]
    elif given and (regime == NONE or (asked is None and regime["regime"] == "single-positive")):
        regime = NONE
        observed = [np.asarray(part.observed) for part in parts.values()]
    else:
        observed = [_observed(spec, name, regime, part) for name, part in parts.items()]
    labels = np.concatenate([part.labels for part in parts.values()]).astype(np.int8)
    return ImageTable(
        ids=np.array([name for part in parts.values() for name in part.ids], dtype=str),
        paths=path_array([path for part in parts.values() for path in part.paths]),
        split=np.repeat(list(parts), [len(part.ids) for part in parts.values()]),
        truth=labels if listings.complete else None,
        observed=np.concatenate(observed).astype(np.int8),
        classes=listings.classes,
        root=root,
        image_root=listings.image_root,
        simulate=regime,
        label_files=tuple(listings.label_files),
        remarks=tuple(listings.remarks),
    )


def _observed(spec: DatasetSpec, name: str, regime: dict[str, Any], part: Listing) -> np.ndarray:
    try:
        return regimes.apply(regime, part.labels, part.sizes)
    except AevlpError as error:
        raise AevlpError(f"{spec.name}, {name} split: {error}") from error
