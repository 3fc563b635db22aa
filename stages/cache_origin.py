"""A cache and what it was made from: its data set's entry in a manifest, the folder of its images, the CLIP that scored them.

`Origin` compares a cache with its data set as that is now, once, for everyone who asks: stage one, training and the commands on
caches. It says what differs; what is refused, and how that is said, is theirs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..pipeline.datasets import ImageTable, load_images
from ..pipeline.errors import AevlpError
from ..pipeline.files.file_versions import FileVersions
from ..pipeline.files.locations import location
from ..pipeline.files.stamps import stamped_size
from ..pipeline.labels.relabelling import class_places
from ..pipeline.manifest.formats import DatasetSpec
from ..pipeline.manifest.load import load_manifest
from ..pipeline.score_cache import CacheRows, ScoreCache
from ..pipeline.score_cache.provenance import simulation_of
from .console import say

if TYPE_CHECKING:
    import torch

    from ..pipeline.clip.libraries import Encoder

Texts = Sequence[str] | np.ndarray


Cached = ScoreCache | CacheRows  # all rows of a cache, or some


class Origin:
    """The data set of a cache as it is now. classes: of the cache. name: of the data set. images: what it lists."""

    def __init__(
        self, classes: Sequence[str], name: str, images: ImageTable, versions: FileVersions | None = None
    ) -> None:
        """versions: of the images' files, where they have been looked at."""
        self.classes, self.name, self.images = list(classes), name, images
        self.root, self._versions = images.root, versions
        self._row_of = {image: row for row, image in enumerate(images.ids.tolist())}

    def compared(self, rows: Cached) -> "Compared":
        """Return rows of the cache beside what the data set has of the same images."""
        place = np.array([self._row_of.get(str(name), -1) for name in rows.ids], dtype=np.int64)
        listed = np.flatnonzero(place >= 0)
        now = self.images.take(place[listed])
        versions = FileVersions(now.paths) if self._versions is None else self._versions.take(place[listed])
        return Compared(rows, place, now, versions, class_places(now.classes, self.classes))


@dataclass(frozen=True)
class Compared:
    """Rows of a cache, and the same images of its data set as they are now; of what differs the rows are given, (n,) bool.

    rows: n of the cache. place: (n,) int64, the row of each in the data set, -1 where that does not list it. now, versions: of
    those that are listed, in the rows' order. places: of each of the cache's classes the data set's, -1 where that has none.
    """

    rows: Cached
    place: np.ndarray
    now: ImageTable
    versions: FileVersions
    places: np.ndarray

    @cached_property
    def listed(self) -> np.ndarray:
        return self.place >= 0

    @cached_property
    def moved(self) -> np.ndarray:
        """Whether the file has another place below the data set's folder."""
        return self._where(np.array(self.now.relative_paths(), dtype=object) != self._of_listed(self.rows.paths))

    @cached_property
    def split(self) -> np.ndarray:
        return self._where(self.now.split.astype(object) != self._of_listed(self.rows.split))

    @cached_property
    def observed(self) -> np.ndarray:
        """Whether a class that both have is observed differently."""
        return self._where(self._labels_differ(self.now.observed, self.rows.observed))

    @cached_property
    def truth(self) -> np.ndarray:
        """Whether the truth of a class that both have is another, where both know it."""
        if self.rows.truth is None or self.now.truth is None:
            return np.zeros(len(self.place), dtype=bool)
        return self._where(self._labels_differ(self.now.truth, self.rows.truth))

    @cached_property
    def resized(self) -> np.ndarray:
        """Whether the file has another size than when it was scored, has gone or has come."""
        return self._where([now != then for now, then in zip(self.versions.sizes, self._sizes_then, strict=True)])

    @cached_property
    def gone(self) -> np.ndarray:
        """Whether the file was there when it was scored, and is not any more."""
        pairs = zip(self.versions.sizes, self._sizes_then, strict=True)
        return self._where([now is None and then is not None for now, then in pairs])

    @cached_property
    def rewritten(self) -> np.ndarray:
        """Whether the file is of another version than the one that was scored: written anew, perhaps with as many bytes."""
        stamps = self._of_listed(self.rows.stamps)
        return self._where([not self.versions.is_now(row, then) for row, then in enumerate(stamps)])

    def first(self, which: np.ndarray) -> Path:
        """Return the path, now, of the first listed image of these rows (n,) bool."""
        return self.now.paths[int(which[self.listed].argmax())]

    @cached_property
    def _sizes_then(self) -> list[int | None]:
        return [_size(stamp) for stamp in self._of_listed(self.rows.stamps)]

    def _of_listed(self, texts: Texts) -> np.ndarray:
        return np.array(texts, dtype=object)[self.listed]

    def _labels_differ(self, now: np.ndarray, then: np.ndarray) -> np.ndarray:
        known = self.places >= 0
        return (now[:, self.places[known]] != then[self.listed][:, known]).any(axis=1)

    def _where(self, of_listed: np.ndarray | list[bool]) -> np.ndarray:
        """Return what is known of the listed rows, of all rows: False for the others."""
        whole = np.zeros(len(self.place), dtype=bool)
        whole[self.listed] = of_listed
        return whole


def _size(stamp: str) -> int | None:
    try:
        return stamped_size(stamp)
    except ValueError:  # of a cache that is damaged
        return -1


def origin_of(cache: ScoreCache, spec: DatasetSpec, root: Path) -> Origin:
    """Return the data set that a cache was made from, as it is now in a folder; its labels observed as then."""
    images = load_images(spec, root, simulate=simulation_of(cache.provenance), placed=placed_by_content(cache, spec))
    return Origin(cache.classes, spec.name, images)


def placed_by_content(cache: ScoreCache, spec: DatasetSpec) -> dict[str, tuple[str, str]]:
    """Return by id the stamp and the split of each scored image, where `split_by` put it there by the shares of now."""
    shares = cache.provenance["dataset"].get("split_by")
    if spec.split_by is None or shares != spec.split_by.content:
        return {}
    columns = (column[cache.status == "ok"].tolist() for column in (cache.ids, cache.stamps, cache.split))
    return {name: (stamp, split) for name, stamp, split in zip(*columns, strict=True)}


def dataset_of(cache: ScoreCache, name: str | None, manifest: Path | Sequence[Path] | None) -> DatasetSpec:
    """Return the manifest's entry for a cache: the one it was made from, unless another is named."""
    made_from = cache.provenance["dataset"]
    path = manifest or (Path(made_from["manifest"]) if made_from["manifest"] else None)
    if isinstance(path, Path) and not path.is_file():
        raise AevlpError(
            f"{cache.path} was made from the manifest {path}, which is not there: pass it, or any with the data "
            f"set's entry, as --manifest"
        )
    return load_manifest(path)[name or made_from["name"]]


def data_root(cache: ScoreCache, given: Path | None, needed: bool = True) -> Path:
    """Return the folder of the cache's images: the one given, or the one they were scored in.

    One that is not there is an error where images are `needed`, and said where they are not.
    """
    root = given or location(cache.provenance["dataset"]["root"])
    if not root.is_dir() and not needed:
        say(
            f"no folder {root}, where the images of {cache.path} were: none is opened, the cache is not compared with them"
        )
    elif not root.is_dir():
        raise AevlpError(f"no folder {root}, where the images of {cache.path} were: pass --data-root")
    return root


def scoring_encoder(provenance: dict[str, Any], folder: Path, device: "torch.device") -> "Encoder":
    """Return the CLIP that made a cache; AevlpError where its weights are others by now.

    provenance: the cache's, or the same keys of a run. folder: the manifest's, below which its files are looked for.
    """
    from ..pipeline.clip.libraries import load_encoder
    from ..pipeline.clip.source import ClipSource

    clip = provenance["clip"]
    source = ClipSource.recorded(provenance, folder)
    encoder = load_encoder(source, device, seed=provenance["seed"])
    if encoder.weights_sha256 != provenance["weights_sha256"]:
        raise AevlpError(
            f"{clip['weights'] or 'the weights'} of {clip['model']} are not the weights that made the cache: SHA-256 "
            f"{encoder.weights_sha256[:12]}…, expected {provenance['weights_sha256'][:12]}…"
        )
    return encoder
