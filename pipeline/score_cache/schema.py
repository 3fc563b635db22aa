"""What a cache holds: a header for all of it, and columns with a row an image. Both formats store exactly this."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any

import numpy as np

from ..errors import AevlpError

FORMAT = 2
ROWS_A_BLOCK = 1024  # what has a checksum of its own


@dataclass(frozen=True)
class CacheHeader:
    """What holds for every row.

    rows: N. flips, views, width: F, V, D. storage: the floating-point type of cosines and embeddings.
    classes, prompts: C each. has_truth: whether full labels are known. provenance: what made the cache.
    text: the prompts' unit vectors (C, D) float32 where the views' embeddings are stored, None where their cosines are.
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
    text: np.ndarray | None = None

    @property
    def stores(self) -> str:
        """What is kept of a view: "cosine" or "embedding"."""
        return "cosine" if self.text is None else "embedding"

    def to_json(self) -> str:
        """Return the header as JSON text, with the version of the format; `text` as base64 of its little-endian bytes."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        if self.text is not None:
            values["text"] = base64.b64encode(np.asarray(self.text, dtype="<f4").tobytes()).decode()
        return json.dumps({"format": FORMAT, **values}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes, where: str) -> "CacheHeader":
        """Return the header that `to_json` wrote; AevlpError where the text is something else."""
        try:
            values = json.loads(text)
            version = values.pop("format")
            if version != FORMAT:
                raise AevlpError(
                    f"{where}: written in cache format {version}, this version of aevlp reads {FORMAT}: score the images again"
                )
            values["classes"], values["prompts"] = tuple(values["classes"]), tuple(values["prompts"])
            if values["text"] is not None:
                flat = np.frombuffer(base64.b64decode(values["text"]), dtype="<f4").astype(np.float32)
                values["text"] = flat.reshape(len(values["classes"]), values["width"])
            return cls(**values)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise AevlpError(f"{where}: the header is not one of an aevlp cache ({error})") from error


@dataclass
class CacheRows:
    """Some rows of a cache: n images in order; a row whose status is not "ok" holds NaN cosines, embeddings and score.

    ids, paths, split, status, reason, stamps: n strings each; a stamp says which version of the file was scored.
    truth: (n, C) int8, None where unknown. observed: (n, C) int8. score: (n, C) float32. code: (n, C) int8.
    Where cosines are stored: similarity (n, F, V, C) and embedding (n, F, D), of the whole image; where embeddings are:
    view_embedding (n, F, V, D). What is not stored is None.
    """

    ids: list[str]
    paths: list[str]
    split: list[str]
    status: list[str]
    reason: list[str]
    stamps: list[str]
    truth: np.ndarray | None
    observed: np.ndarray
    similarity: np.ndarray | None
    embedding: np.ndarray | None
    view_embedding: np.ndarray | None
    score: np.ndarray
    code: np.ndarray

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: np.ndarray | slice) -> "CacheRows":
        """Return some of the rows, by numbers or as a slice."""
        numbers = np.arange(len(self))[rows]
        return map_columns(lambda v: [v[n] for n in numbers] if isinstance(v, list) else v[rows], self)


def map_columns(change: Callable[..., Any], *rows: CacheRows) -> CacheRows:
    """Return rows whose every column is `change` of the columns given; what is not stored stays None."""
    columns: dict[str, Any] = {}
    for name in vars(rows[0]):
        values = [getattr(r, name) for r in rows]
        columns[name] = None if values[0] is None else change(*values)
    return CacheRows(**columns)


def in_blocks(parts: Iterable[CacheRows], size: int) -> Iterator[CacheRows]:
    """Join small parts and cut large ones into blocks of one size, so that what is written does not depend on the parts."""
    held: list[CacheRows] = []
    rows = 0
    for part in parts:
        held.append(part)
        rows += len(part)
        if rows < size:
            continue
        together = joined(held)
        for start in range(0, rows - rows % size, size):
            yield together.take(slice(start, start + size))
        rows %= size
        held = [together.take(slice(len(together) - rows, None))] if rows else []
    if rows:
        yield joined(held)


def joined(parts: Sequence[CacheRows]) -> CacheRows:
    """Return the rows of several parts, one after another."""
    if len(parts) == 1:
        return parts[0]
    return map_columns(lambda *v: list(chain(*v)) if isinstance(v[0], list) else np.concatenate(v), *parts)


TEXT_COLUMNS = ("ids", "paths", "split", "status", "reason", "stamps")


def array_columns(header: CacheHeader) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return the dtype and the shape of one row for each numeric column that is stored."""
    classes = len(header.classes)
    columns: dict[str, tuple[str, tuple[int, ...]]] = {"truth": ("int8", (classes,))} if header.has_truth else {}
    columns["observed"] = ("int8", (classes,))
    if header.stores == "cosine":
        columns["similarity"] = (header.storage, (header.flips, header.views, classes))
        columns["embedding"] = (header.storage, (header.flips, header.width))
    else:
        columns["view_embedding"] = (header.storage, (header.flips, header.views, header.width))
    columns["score"] = ("float32", (classes,))
    columns["code"] = ("int8", (classes,))
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
