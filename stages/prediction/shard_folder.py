"""Labels of many images: a folder of Parquet files, one a shard of the list, published whole, claimed by a lock.

`_settings.json` says what every shard was made with; `part-000012.parquet` is shard 12, whose metadata has the same settings.
Processes on one machine, or on several over a shared folder, take shards by locks of the operating system.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.errors import AevlpError, in_one_line
from ...pipeline.files.atomic_write import remove_temporaries, replacing
from ...pipeline.files.locks import claimed, is_held, locked
from ...pipeline.runtime.provenance import difference

ABOUT = b"aevlp.predictions"  # the key of a file's metadata
SETTINGS = "_settings.json"  # readers of a folder of Parquet files pass over names that begin so


@dataclass(frozen=True)
class ShardLabels:
    """What a model sees in a shard's images, in order. names, status, reason: n texts each.

    readable: (n,) bool. probabilities: (n, C) float32. present: (n, C) bool, the labels; both of no meaning where unreadable.
    """

    names: list[str]
    status: list[str]
    reason: list[str]
    readable: np.ndarray
    probabilities: np.ndarray
    present: np.ndarray


class ShardFolder:
    """The shards of some images. settings: everything that shapes them, JSON-like. names: of all images, in order."""

    def __init__(self, folder: Path, settings: dict[str, Any], names: list[str], shard_images: int) -> None:
        self.folder, self.names, self.shard_images = folder, names, shard_images
        self.settings = json.loads(json.dumps(settings))
        self.numbers = range(-(-len(names) // shard_images))

    def begin(self) -> None:
        """Make the folder, or resume with the one that is there.

        Raises AevlpError where that was made with other settings or holds anything else, and where it cannot be written.
        """
        file = self.folder / SETTINGS
        with locked(self.folder):
            if self.folder.exists() and not self.folder.is_dir():
                raise AevlpError(f"--output {self.folder} is a file, expected a folder: choose another name")
            if not file.exists():
                remove_temporaries(file)
                if self.folder.exists() and any(self.folder.iterdir()):
                    raise AevlpError(
                        f"--output {self.folder} holds other files and no {SETTINGS}: choose a new or an empty folder"
                    )
                with replacing(file) as temporary:
                    temporary.write_text(json.dumps(self.settings, ensure_ascii=False), "utf-8")
            try:
                theirs = json.loads(file.read_text("utf-8"))
            except (OSError, ValueError) as error:
                raise AevlpError(f"{file} cannot be read ({error}): delete {self.folder} to start anew") from error
        if changed := self._other(theirs) or difference(self.settings, theirs):
            raise AevlpError(
                f"{self.folder} holds labels that were made differently (this run has {changed}): run with its settings, choose "
                f"another --output, or delete {self.folder}"
            )

    def _other(self, theirs: Any) -> str | None:
        """Return in words what differs that is hashes or long lists, None where these are the same."""
        other = {key: f"another {key}" for key in ("model", "list of images")} | {"thresholds": "other thresholds"}
        if not isinstance(theirs, dict):
            return None
        return next((words for key, words in other.items() if theirs.get(key) != self.settings.get(key)), None)

    def file(self, number: int) -> Path:
        """Return where a shard is, or will be."""
        return self.folder / f"part-{number:06d}.parquet"

    def rows(self, number: int) -> range:
        """Return the numbers of a shard's images."""
        return range(number * self.shard_images, min((number + 1) * self.shard_images, len(self.names)))

    def missing(self) -> list[int]:
        """Return the shards that are not published, of any process."""
        there = {file.name for file in self.folder.glob("part-*.parquet")}
        return [number for number in self.numbers if self.file(number).name not in there]

    def done(self) -> int:
        """Return how many images are in published shards."""
        return len(self.names) - sum(len(self.rows(number)) for number in self.missing())

    def is_free(self, number: int) -> bool:
        """Return whether nobody holds a shard at this moment."""
        return not is_held(self._lock(number))

    @contextmanager
    def claim(self, number: int) -> Iterator[bool]:
        """Hold a shard for the context, and give whether it is this process that may label it now."""
        try:
            with claimed(self._lock(number)) as held:
                yield held and not self.file(number).exists()
        except OSError as error:
            raise AevlpError(f"cannot write in {self.folder}: {error.strerror or error}") from error

    def publish(self, number: int, labels: ShardLabels) -> None:
        """Write a shard that is claimed, whole or not at all."""
        import pyarrow.parquet as pq

        remove_temporaries(self.file(number))
        with replacing(self.file(number)) as temporary:
            pq.write_table(self._table(labels), temporary)

    def statuses(self) -> Iterator[tuple[str, str]]:
        """Yield status and reason of each image, in order; AevlpError where a shard is damaged or of other settings."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        for number in self.numbers:
            file = self.file(number)
            try:
                with pq.ParquetFile(file) as opened:
                    theirs = json.loads((opened.schema_arrow.metadata or {}).get(ABOUT, b"null"))
                    found = opened.read(["status", "reason"])
            except (OSError, ValueError, pa.ArrowException) as error:
                raise AevlpError(
                    f"{file} cannot be read ({in_one_line(error, 120)}): delete it, and the same command makes it again"
                ) from error
            if theirs != self.settings or len(found) != len(self.rows(number)):
                raise AevlpError(f"{file} is of other images or settings than its folder: delete it, and run again")
            yield from zip(found["status"].to_pylist(), found["reason"].to_pylist(), strict=True)

    def tidy(self) -> None:
        """Remove the locks, once no shard is missing."""
        for lock in self.folder.glob(".claim-*.lock"):
            with suppress(OSError):
                lock.unlink()

    def _table(self, labels: ShardLabels) -> Any:
        import pyarrow as pa

        classes, bad = pa.array(self.settings["classes"], pa.string()), ~labels.readable
        present = labels.present & labels.readable[:, None]
        ends = np.concatenate([[0], present.sum(axis=1).cumsum()]).astype(np.int32)
        of_images = classes.take(pa.array(present.nonzero()[1]))
        columns: dict[str, Any] = {
            "image": pa.array(labels.names, pa.string()),
            "status": pa.array(labels.status, pa.string()),
            "labels": pa.ListArray.from_arrays(pa.array(ends), of_images, mask=pa.array(bad)),
            "reason": pa.array(labels.reason, pa.string()),
        }
        if self.settings["write"] == "probabilities":
            for name, values in zip(self.settings["classes"], labels.probabilities.T, strict=True):
                columns[f"p({name})"] = pa.array(np.ascontiguousarray(values), pa.float32(), mask=bad)
        return pa.table(columns).replace_schema_metadata({ABOUT: json.dumps(self.settings)})

    def _lock(self, number: int) -> Path:
        return self.folder / f".claim-{number:06d}.lock"


def first_rows(folder: Path, count: int) -> list[dict[str, Any]]:
    """Return the rows of a folder's first shards until `count` of them are of readable images, as `Predictions.images` has them.

    probabilities: None where the folder has labels alone.
    """
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    for file in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(file) as opened:
            classes = json.loads((opened.schema_arrow.metadata or {})[ABOUT])["classes"]
            for batch in opened.iter_batches(count):
                for row in batch.to_pylist():
                    known = row.get(f"p({classes[0]})") is not None
                    rows.append({**row, "probabilities": {c: row[f"p({c})"] for c in classes} if known else None})
                if sum(row["status"] == "ok" for row in rows) >= count:
                    return rows
    return rows
