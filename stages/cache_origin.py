"""A cache -> what it was made from: its data set's entry in a manifest, the folder of its images, the CLIP that scored them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..pipeline.errors import AevlpError
from ..pipeline.files.locations import location
from ..pipeline.manifest.formats import DatasetSpec
from ..pipeline.manifest.load import load_manifest
from ..pipeline.score_cache import ScoreCache
from .console import say

if TYPE_CHECKING:
    import torch

    from ..pipeline.clip.encoder import ClipEncoder


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


def scoring_encoder(provenance: dict[str, Any], folder: Path, device: "torch.device") -> "ClipEncoder":
    """Return the CLIP that made a cache; AevlpError where its weights are others by now.

    provenance: the cache's, or the same keys of a run. folder: the manifest's, below which its files are looked for.
    """
    from ..pipeline.clip.encoder import ClipEncoder, ClipSource

    clip = provenance["clip"]
    source = ClipSource.recorded(provenance, folder)
    encoder = ClipEncoder(source, device, seed=provenance["seed"])
    if encoder.weights_sha256 != provenance["weights_sha256"]:
        raise AevlpError(
            f"{clip['weights'] or 'the weights'} of {clip['model']} are not the weights that made the cache: SHA-256 "
            f"{encoder.weights_sha256[:12]}…, expected {provenance['weights_sha256'][:12]}…"
        )
    return encoder
