"""The file of text features beside a cache, such as cache/voc.sentences.npz: what a policy of sentences needs besides images.

They follow from the classes and the CLIP alone, so that a cache that gets other images or labels keeps them.
"""

import hashlib
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AevlpError
from ..files.atomic_write import replacing
from ..files.locations import local_place
from .reader import ScoreCache

OF_TRUTH = "truth"  # how sentences were chosen that are not free of labels


@dataclass(frozen=True)
class Sentences:
    """Text features, unit vectors of the CLIP that scored a cache, (…, D) float32 each.

    classes: C names. weights_sha256: of the CLIP. chosen: how the sentences were. texts: M sentences. members: (C, M) int8 0/1,
    which mentions a class. bare: (C, D), of the class's name as it stands. ensemble: (C, D), of its name in many templates, their
    mean. compound: (M, D), of the sentences.
    """

    classes: tuple[str, ...]
    weights_sha256: str
    chosen: str
    texts: tuple[str, ...]
    members: np.ndarray
    bare: np.ndarray
    ensemble: np.ndarray
    compound: np.ndarray

    @property
    def fingerprint(self) -> str:
        """SHA-256 of all that a policy reads of it, but not of how it was chosen: what a training run records and requires."""
        digest = hashlib.sha256("\0".join((*self.classes, self.weights_sha256, *self.texts)).encode())
        for values in (self.members, self.bare, self.ensemble, self.compound):
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()


def sentences_file(cache: Path) -> Path:
    """Return where the text features of a cache are; those of a cache in a remote store are on the local disk."""
    place = local_place(cache)
    return place.with_name(f"{place.stem}.sentences.npz")


def write_sentences(path: Path, sentences: Sentences) -> None:
    """Write text features, whole or not at all; AevlpError where they cannot be written."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        arrays: dict[str, Any] = {of.name: np.asarray(getattr(sentences, of.name)) for of in fields(Sentences)}
        np.savez(file, **arrays)


def sentences_of(cache: ScoreCache) -> Sentences:
    """Return the text features of a cache.

    Raises AevlpError where there are none, the file cannot be read, or it is of other classes or another CLIP; it names the
    command that makes them.
    """
    path = sentences_file(cache.path)
    command = f"run aevlp cache sentences {cache.path}"
    if not path.is_file():
        raise AevlpError(
            f"{cache.path} has no text features of sentences, which the policy reads: {command} first, no image is scored again"
        )
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {of.name: stored[of.name] for of in fields(Sentences)}
    except (OSError, ValueError, LookupError, EOFError, zipfile.BadZipFile) as error:
        # numpy's own words name the option that would run code of the file
        raise AevlpError(
            f"cannot read {path}, which is damaged or holds no text features: {command} to make it anew"
        ) from error
    texts = {name: tuple(arrays[name].tolist()) for name in ("classes", "texts")}
    words = {name: str(arrays[name]) for name in ("weights_sha256", "chosen")}
    found = Sentences(**{**arrays, **texts, **words})
    if found.classes != tuple(cache.classes):
        raise AevlpError(f"{path} is of other classes than {cache.path}: {command} to make it anew")
    if found.weights_sha256 != cache.provenance["weights_sha256"] or found.bare.shape[1] != cache.header.width:
        raise AevlpError(f"{path} is of another CLIP than the one that made {cache.path}: {command} to make it anew")
    return found
