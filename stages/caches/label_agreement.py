"""A cache and its data set as it is now -> whether images, splits, classes and labels are the same."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ...pipeline.datasets import ImageTable, load_images
from ...pipeline.errors import AevlpError
from ...pipeline.files.stamps import file_size, stamped_size
from ...pipeline.labels.observation import checked
from ...pipeline.score_cache import CacheRows, ScoreCache
from ...pipeline.score_cache.labelled_images import class_places
from ..cache_origin import data_root, dataset_of


class LabelAgreement:
    """The labels of a data set, with which rows of a cache are compared; name, root: of the data set."""

    def __init__(self, cache: ScoreCache, images: ImageTable, name: str) -> None:
        self.name, self.root, self._images = name, images.root, images
        self._classes, self._vocabulary = cache.classes, cache.provenance.get("vocabulary")
        self._row_of = {image: row for row, image in enumerate(images.ids.tolist())}

    def class_faults(self) -> list[str]:
        """Return what is wrong with the cache's classes: all of them, unless it was selected from or made for others."""
        if self._vocabulary is None and self._classes != list(self._images.classes):
            return [f"its classes are not those of {self.name}"]
        strange = [name for name in self._classes if name not in self._images.classes]
        if self._vocabulary == "selected" and strange:
            return [f"{self.name} has no class {strange[0]!r}"]
        return []

    def row_faults(self, rows: CacheRows) -> dict[str, np.ndarray]:
        """Return of each kind of fault, a sentence with {} for the number of images, which of the rows have it, (n,) bool."""
        there = np.array([self._row_of.get(name, -1) for name in rows.ids], dtype=np.int64)
        listed = there >= 0
        now = self._images.take(there)  # that of a row that is not listed is not looked at
        places = class_places(now.classes, self._classes)
        known = places >= 0
        observed = (now.observed[:, places] != rows.observed)[:, known].any(axis=1)
        return {
            f"{{}} images are not listed in {self.name} (aevlp cache append --prune drops them)": ~listed,
            f"{{}} images have another path in {self.name}": listed & (np.array(now.relative_paths()) != rows.paths),
            f"{{}} images are in another split of {self.name}": listed & (now.split != rows.split),
            f"{{}} images have another size in {self.name} than when they were scored": listed
            & self._resized(rows, now),
            f"{{}} images have other observed labels in {self.name}": listed & observed,
            f"{{}} images have other true labels in {self.name}": listed & self._untrue(rows, now, places, known),
        }

    @staticmethod
    def _resized(rows: CacheRows, now: ImageTable) -> np.ndarray:
        pairs = zip(now.paths.tolist(), rows.stamps, rows.status, strict=True)
        return np.array([status == "ok" and file_size(path) != stamped_size(then) for path, then, status in pairs])

    @staticmethod
    def _untrue(rows: CacheRows, now: ImageTable, places: np.ndarray, known: np.ndarray) -> np.ndarray:
        if rows.truth is None or now.truth is None:
            return np.full(len(rows), rows.truth is not None)
        return (now.truth[:, places] != rows.truth)[:, known].any(axis=1)


def with_dataset(
    cache: ScoreCache, name: str | None, manifest: Path | Sequence[Path] | None, root: Path | None
) -> tuple[LabelAgreement | None, str]:
    """Return the data set that is asked for, or the one a cache was made from, and a line that says with what it is compared.

    None where nothing is asked for and the data set is not there any more. Raises AevlpError where one that is asked for
    cannot be read.
    """
    try:
        spec = dataset_of(cache, name, manifest)
        made_by = cache.provenance["observation"]
        folder = data_root(cache, root)
        images = load_images(spec, folder, observation=checked(made_by) if isinstance(made_by, dict) else None)
    except AevlpError as error:
        if name or manifest or root:
            raise
        return None, f"not compared with its data set: {error}"
    return LabelAgreement(cache, images, spec.name), f"compared with {spec.name} in {folder}"
