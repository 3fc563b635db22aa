"""What says of which images and labels a cache is: its text and label columns, whole, and the fingerprint they give."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..datasets.image_table import data_fingerprint
from ..files.stamps import stamped_size
from ..labels.relabelling import class_places, relabelled, relabelled_truth
from .reader import ScoreCache
from .schema import CacheHeader

COLUMNS = ("ids", "paths", "split", "stamps", "truth", "observed")


@dataclass(frozen=True)
class LabelledImages:
    """The images and labels of a cache, or of one that is to be made.

    ids, paths, split, stamps: (N,) str objects. truth: (N, C) int8, None where unknown. observed: (N, C) int8. classes: C.
    """

    classes: tuple[str, ...]
    ids: np.ndarray
    paths: np.ndarray
    split: np.ndarray
    stamps: np.ndarray
    truth: np.ndarray | None
    observed: np.ndarray

    @classmethod
    def of(cls, cache: ScoreCache) -> "LabelledImages":
        """Return the images and labels of a cache."""
        texts = {name: np.array(cache.text(name), dtype=object) for name in ("ids", "paths", "split", "stamps")}
        truth = cache.labels("truth", slice(None)) if cache.header.has_truth else None
        return cls(cache.header.classes, **texts, truth=truth, observed=cache.labels("observed", slice(None)))

    @classmethod
    def joined(cls, parts: "Sequence[LabelledImages]") -> "LabelledImages":
        """Return the images of several parts of the same classes, one after another."""
        columns: dict[str, Any] = {}
        for name in COLUMNS:
            values = [getattr(part, name) for part in parts]
            columns[name] = None if values[0] is None else np.concatenate(values)
        return cls(parts[0].classes, **columns)

    def take(self, rows: np.ndarray) -> "LabelledImages":
        """Return some of the images."""
        columns = {name: getattr(self, name) for name in COLUMNS}
        return replace(self, **{name: None if c is None else c[rows] for name, c in columns.items()})

    def relabelled(self, classes: Sequence[str]) -> "LabelledImages":
        """Return the images with the labels of other classes, as `relabelled` gives them."""
        places = class_places(self.classes, classes)
        return replace(
            self,
            classes=tuple(classes),
            truth=relabelled_truth(self.truth, places),
            observed=relabelled(self.observed, places),
        )

    def fingerprint(self) -> str:
        """Return the `Fingerprint` of the images, with the sizes that their files had when they were scored."""
        return data_fingerprint(self, self.paths.tolist(), [stamped_size(stamp) for stamp in self.stamps])

    def header(self, header: CacheHeader, **provenance: Any) -> CacheHeader:
        """Return the header, with other entries of its provenance, for a cache of these images and classes."""
        made = {**header.provenance, **provenance}
        dataset = {**made["dataset"], "fingerprint": self.fingerprint()}
        return replace(
            header,
            rows=len(self.ids),
            classes=self.classes,
            has_truth=self.truth is not None,
            provenance={**made, "dataset": dataset},
        )
