"""What a cache holds: a header for all of it, and columns with a row an image. Both formats store exactly this."""

import hashlib
import json
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from ..errors import AevlpError

FORMAT = 1
STORAGE = ("float16", "float32")


@dataclass(frozen=True)
class CacheHeader:
    """What holds for every row.

    rows: N. flips, views, width: F, V, D. storage: the floating-point type of cosines and embeddings.
    classes, prompts: C each. has_truth: whether full labels are known. provenance: what made the cache.
    """

    rows: int
    flips: int
    views: int
    width: int
    storage: str
    classes: tuple[str, ...]
    prompts: tuple[str, ...]
    has_truth: bool
    provenance: dict[str, Any]

    def to_json(self) -> str:
        """Return the header as JSON text, with the version of the format."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return json.dumps({"format": FORMAT, **values}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> "CacheHeader":
        """Return the header that `to_json` wrote; AevlpError where the text is something else."""
        try:
            values = json.loads(text)
            version = values.pop("format")
            if version != FORMAT:
                raise AevlpError(f"{where}: written in cache format {version}, this version of aevlp reads {FORMAT}")
            values["classes"], values["prompts"] = tuple(values["classes"]), tuple(values["prompts"])
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AevlpError(f"{where}: the header is not one of an aevlp cache ({error})") from error


@dataclass
class CacheRows:
    """Some rows of a cache: n images in order; a row whose status is not "ok" holds NaN cosines, embedding and score.

    ids, paths, split, status, reason: n strings each. truth: (n, C) int8, None where unknown. observed: (n, C) int8.
    similarity: (n, F, V, C). embedding: (n, F, D). score: (n, C) float32. code: (n, C) int8.
    """

    ids: list[str]
    paths: list[str]
    split: list[str]
    status: list[str]
    reason: list[str]
    truth: np.ndarray | None
    observed: np.ndarray
    similarity: np.ndarray
    embedding: np.ndarray
    score: np.ndarray
    code: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)


TEXT_COLUMNS = ("ids", "paths", "split", "status", "reason")


def array_columns(header: CacheHeader) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the dtype and the shape of one row for each numeric column."""
    classes = len(header.classes)
    columns = {
        "truth": ("int8", (classes,)),
        "observed": ("int8", (classes,)),
        "similarity": (header.storage, (header.flips, header.views, classes)),
        "embedding": (header.storage, (header.flips, header.width)),
        "score": ("float32", (classes,)),
        "code": ("int8", (classes,)),
    }
    if not header.has_truth:
        del columns["truth"]
    return columns


def header_fingerprint(header: CacheHeader, ids: np.ndarray, observed: np.ndarray) -> str:
    """Return a SHA-256 of everything that makes a cache what it is: header, images and observed labels.

    Where the files were on the machine that scored them is left out.
    """
    data = {key: value for key, value in header.provenance["dataset"].items() if key not in ("root", "manifest")}
    placeless = replace(header, provenance={**header.provenance, "dataset": data})
    digest = hashlib.sha256(placeless.to_json().encode())
    digest.update("\0".join(ids).encode())
    digest.update(np.ascontiguousarray(observed).tobytes())
    return digest.hexdigest()
