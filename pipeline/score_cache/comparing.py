"""Two caches -> where they differ: settings, images, labels, cosines and codes; both are streamed."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..labels.relabelling import class_places
from .provenance import without_origins
from .reader import ScoreCache
from .schema import ROWS_A_BLOCK, CacheHeader

FARTHEST = 5
PLACES = ("root", "manifest")  # where files were on a machine is no part of a cache's content


@dataclass
class Comparison:
    """Where a cache `a` and a cache `b` differ.

    settings: of each that differs its name and both values. classes, images: names and ids that one alone has; order: whether
    the images that both have stand in another order. Rows that both have are counted by what differs: status, split, labels.
    scored: rows that are "ok" in both, of which: cosines differ in `cosines` rows, at most by `largest` and by `mean` over
    all, `farthest` names the rows that lie farthest apart; None where their views or flips are others. codes: rows and entries
    whose stored codes differ. Labels, cosines and codes are compared for the classes that both have.
    """

    settings: list[tuple[str, Any, Any]]
    classes: tuple[list[str], list[str]]
    images: tuple[list[str], list[str]]
    order: bool
    status: int = 0
    split: int = 0
    labels: int = 0
    scored: int = 0
    cosines: int | None = 0
    largest: float = 0.0
    mean: float = 0.0
    farthest: list[tuple[str, float]] = field(default_factory=list)
    code_rows: int = 0
    code_entries: int = 0

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        alone = any(self.classes) or any(self.images)
        counted = (self.status, self.split, self.labels, self.cosines is None or self.cosines, self.code_rows)
        return not (self.settings or alone or self.order or any(counted))

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {"equal": self.equal, **asdict(self)}


def compare(a: ScoreCache, b: ScoreCache) -> Comparison:
    """Return where two caches differ. What is on disk is compared, whether or not it is what was written."""
    ids_a, ids_b = a.text("ids"), b.text("ids")
    row_of = {name: row for row, name in enumerate(ids_b)}
    rows = np.array([row_of.get(name, -1) for name in ids_a], dtype=np.int64)
    own = set(ids_a)
    found = Comparison(
        settings=list(_differences(_settings(a.header), _settings(b.header))),
        classes=(_without(a.classes, b.classes), _without(b.classes, a.classes)),
        images=([name for name, row in zip(ids_a, rows, strict=True) if row < 0], [n for n in ids_b if n not in own]),
        order=bool((np.diff(rows[rows >= 0]) < 0).any()),
    )
    del own, row_of, ids_b
    if (a.header.flips, a.header.views) != (b.header.flips, b.header.views):
        found.cosines = None
    for start in range(0, len(a), ROWS_A_BLOCK):
        mine = np.arange(start, min(start + ROWS_A_BLOCK, len(a)))
        mine = mine[rows[mine] >= 0]
        if len(mine):
            _compare_rows(found, a, b, mine, rows[mine], ids_a)
    found.mean /= max(found.scored, 1)
    return found


def _compare_rows(
    found: Comparison, a: ScoreCache, b: ScoreCache, mine: np.ndarray, theirs: np.ndarray, ids: list[str]
) -> None:
    shared = [name for name in a.classes if name in set(b.classes)]
    in_a, in_b = class_places(a.classes, shared), class_places(b.classes, shared)
    status = [_texts(a, "status", mine), _texts(b, "status", theirs)]
    found.status += int((status[0] != status[1]).sum())
    found.split += int((_texts(a, "split", mine) != _texts(b, "split", theirs)).sum())
    labels = a.labels("observed", mine)[:, in_a] != b.labels("observed", theirs)[:, in_b]
    if a.header.has_truth and b.header.has_truth:
        labels |= a.labels("truth", mine)[:, in_a] != b.labels("truth", theirs)[:, in_b]
    found.labels += int(labels.any(axis=1).sum())
    ok = (status[0] == "ok") & (status[1] == "ok")
    mine, theirs = mine[ok], theirs[ok]
    found.scored += len(mine)
    if not (len(mine) and shared):
        return
    codes = a.code(mine)[:, in_a] != b.code(theirs)[:, in_b]
    found.code_rows += int(codes.any(axis=1).sum())
    found.code_entries += int(codes.sum())
    if found.cosines is None:
        return
    far = _distance(a.similarity(mine)[..., in_a], b.similarity(theirs)[..., in_b]).reshape(len(mine), -1)
    farthest = far.max(axis=1)
    found.cosines += int((farthest > 0).sum())
    found.largest = max(found.largest, float(farthest.max()))
    found.mean += float(far.mean(axis=1, dtype=np.float64).sum())
    top = np.argsort(-farthest, kind="stable")[:FARTHEST]
    found.farthest += [(ids[mine[row]], float(farthest[row])) for row in top if farthest[row] > 0]
    found.farthest = sorted(found.farthest, key=lambda entry: -entry[1])[:FARTHEST]


def _distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return how far cosines are apart; one that is no number is as far as two cosines can be from any that is one."""
    far = np.abs(a - b)
    return np.where(np.isnan(far), np.where(np.isnan(a) & np.isnan(b), 0, 2), far)


def _texts(cache: ScoreCache, name: str, rows: np.ndarray) -> np.ndarray:
    low, high = int(rows.min()), int(rows.max()) + 1
    return np.array(cache.text(name, slice(low, high)), dtype=object)[rows - low]


def _without(names: list[str], others: list[str]) -> list[str]:
    known = set(others)
    return [name for name in names if name not in known]


def _settings(header: CacheHeader) -> dict[str, Any]:
    """Return what holds for every row, but for the number of them and the prompts' vectors, which the rest gives."""
    provenance = without_origins(header.provenance)
    provenance["dataset"] = {k: v for k, v in provenance.get("dataset", {}).items() if k not in PLACES}
    names = ("flips", "views", "width", "stores", "storage", "has_truth", "classes", "prompts")
    return {**{name: getattr(header, name) for name in names}, **provenance}


def _differences(a: Any, b: Any, place: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Yield the places where two JSON-like values differ, and both values there; None where there is none."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in (*a, *(k for k in b if k not in a)):
            yield from _differences(a.get(key), b.get(key), f"{place}.{key}" if place else key)
    elif a != b:
        yield place, a, b
