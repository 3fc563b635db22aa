"""What a person answered about pairs of image and class, kept in an SQLite file beside the cache.

Every answer is a row that stays; the last one of a pair that was not taken back holds. So nothing is lost by a kill, and two
pages that answer at the same time do not overwrite each other.
"""

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ..errors import AevlpError
from ..labels.codes import NEGATIVE, POSITIVE, UNKNOWN

SUFFIX = ".review.sqlite"
APPLICATION = 0x61654C50  # in the file's header: whose it is
FORMAT = 1
BUSY_SECONDS = 30.0  # that one writer waits for another
_COLUMNS = "image, class, answer, size, source, seconds"
_TABLES = """
CREATE TABLE IF NOT EXISTS answer (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    image TEXT NOT NULL,
    class TEXT NOT NULL,
    answer INTEGER NOT NULL CHECK (answer IN (-1, 0, 1)),
    size INTEGER,
    source TEXT NOT NULL,
    seconds REAL,
    at TEXT NOT NULL,
    undone INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS answer_of_pair ON answer (image, class);
"""


@dataclass(frozen=True)
class Answer:
    """What was said of one pair.

    image: its id in the cache. label: the class's name. code: +1 it is there, -1 it is not, 0 skipped: not known.
    size: in bytes, of the image file that was scored, None where that is not known. source: "review", or where it came from.
    seconds: that the answer took, None where nobody measured it.
    """

    image: str
    label: str
    code: int
    size: int | None = None
    source: str = "review"
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.code not in (POSITIVE, UNKNOWN, NEGATIVE):
            raise AevlpError(f"an answer is 1, -1 or 0, found {self.code!r}")


def answers_file(cache: Path) -> Path:
    """Return where the answers about a cache are kept: cache/voc.review.sqlite beside cache/voc.h5."""
    return cache.with_name(cache.stem + SUFFIX)


class AnswerStore:
    """The answers in a file, made where it is not there; to be used by any number of threads and processes at once.

    `with` closes it. Raises AevlpError where the file is another program's, damaged, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, check_same_thread=False, isolation_level=None
            )
        except (OSError, sqlite3.Error) as error:
            raise AevlpError(f"cannot open {path}: {error}") from error
        try:
            self._require_ours()
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = FULL")  # an answer that was taken is on the disk
            self._connection.executescript(_TABLES)
        except sqlite3.Error as error:
            self._connection.close()
            raise AevlpError(f"{path} cannot be used as a file of answers: {error}") from error
        except AevlpError:
            self._connection.close()
            raise

    def __enter__(self) -> "AnswerStore":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what is written to the journal beside it is moved into it by whoever closes last."""
        with self._lock:
            self._connection.close()

    def give(self, answers: Sequence[Answer]) -> list[int]:
        """Write answers, all or none of them, and return their numbers; they are on the disk when this returns."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        insert = f"INSERT INTO answer ({_COLUMNS}, at) VALUES (?, ?, ?, ?, ?, ?, ?)"
        with self._transaction() as run:
            return [
                run.execute(insert, (a.image, a.label, a.code, a.size, a.source, a.seconds, now)).lastrowid or 0
                for a in answers
            ]

    def undo(self, numbers: Sequence[int]) -> list[Answer]:
        """Take answers back, which are returned; those that are not there or were taken back already are passed over."""
        taken = []
        with self._transaction() as run:
            for number in numbers:
                row = run.execute(
                    f"UPDATE answer SET undone = 1 WHERE number = ? AND undone = 0 RETURNING {_COLUMNS}", (number,)
                ).fetchone()
                if row is not None:
                    taken.append(Answer(*row))
        return taken

    def current(self) -> list[Answer]:
        """Return the answer that holds for each pair, skipped ones too, in the order in which they were given."""
        query = f"""
            SELECT {_COLUMNS} FROM answer WHERE number IN
            (SELECT MAX(number) FROM answer WHERE undone = 0 GROUP BY image, class) ORDER BY number
        """
        with self._transaction() as run:
            return [Answer(*row) for row in run.execute(query)]

    def latest(self, count: int) -> list[tuple[int, Answer]]:
        """Return the numbers and answers of the last `count` that were not taken back, the newest first."""
        query = f"SELECT number, {_COLUMNS} FROM answer WHERE undone = 0 ORDER BY number DESC LIMIT ?"
        with self._transaction() as run:
            return [(row[0], Answer(*row[1:])) for row in run.execute(query, (count,))]

    def _transaction(self) -> "_Transaction":
        return _Transaction(self._connection, self._lock, self.path)

    def _require_ours(self) -> None:
        tables = self._connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        [application] = self._connection.execute("PRAGMA application_id").fetchone()
        [version] = self._connection.execute("PRAGMA user_version").fetchone()
        if not tables and application in (0, APPLICATION):
            self._connection.execute(f"PRAGMA application_id = {APPLICATION}")
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")
        elif application != APPLICATION:
            raise AevlpError(f"{self.path} is a database of another program: move it, or name another file")
        elif version != FORMAT:
            raise AevlpError(f"{self.path} has the format {version} of answers, this version of aevlp reads {FORMAT}")


class _Transaction:
    """A context in which one thread writes or reads; all of it is written, or nothing."""

    def __init__(self, connection: sqlite3.Connection, lock: threading.Lock, path: Path) -> None:
        self._connection, self._lock, self._path = connection, lock, path

    def __enter__(self) -> sqlite3.Connection:
        self._lock.acquire()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            self._lock.release()
            raise AevlpError(f"cannot use {self._path}: {error}") from error
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: object) -> None:
        try:
            self._connection.execute("ROLLBACK" if kind else "COMMIT")
        except sqlite3.Error as failed:
            raise AevlpError(f"cannot write {self._path}: {failed}") from failed
        finally:
            self._lock.release()
        if isinstance(error, sqlite3.Error):
            raise AevlpError(f"cannot use {self._path}: {error}") from error
