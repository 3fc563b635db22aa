"""Caches in remote stores: written whole from local parts, read from a copy, and refused where the store has half of one."""

from pathlib import Path

import fsspec
import h5py
import numpy as np
import pytest
from conftest import call, stage_one
from s3_store import S3Store

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files.locations import RemoteError, forget_listings, location
from aevlp.pipeline.score_cache import open_cache, parquet, write_cache
from aevlp.pipeline.score_cache.comparing import compare
from aevlp.pipeline.score_cache.remote import check_writable, on_disk
from aevlp.pipeline.score_cache.schema import ROWS_A_BLOCK
from aevlp.pipeline.scoring.scorer import Scorer
from fakes import blocks as in_blocks
from fakes import random_cache

ADDRESS = "s3://bucket/made/blocks"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory of the test's own, with the folder of copies in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "copies"))
    return tmp_path


@pytest.fixture
def bucket(s3: S3Store) -> S3Store:
    s3.objects["bucket/other"] = b"there is a bucket where something is in it"
    return s3


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """As many entries as the scorer was called."""
    calls: list[int] = []
    rows = Scorer.rows

    def counted(self: Scorer, *given, **named):
        calls.append(1)
        return rows(self, *given, **named)

    monkeypatch.setattr(Scorer, "rows", counted)
    return calls


def left(folder: Path) -> list[str]:
    """Return the files below the folder of parts."""
    return sorted(path.name for path in (folder / "cache").rglob("*") if path.is_file())


def message(capsys: pytest.CaptureFixture) -> str:
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


@pytest.mark.parametrize("suffix", [".h5", ".parquet"])
def test_stage_one_into_s3_and_all_that_reads_it(
    blocks: Path, cache_path: Path, here: Path, bucket: S3Store, scored: list[int], suffix: str,
    capsys: pytest.CaptureFixture,
) -> None:  # fmt: skip
    cache = ADDRESS + suffix
    manifest, run = ("--manifest", blocks / "blocks.yaml"), here / "run"
    making = ("pseudolabel", "--dataset", "blocks", "--cache", cache, "--storage", "float32", "--workers", 0, *manifest,
              "--data-root", blocks)  # fmt: skip
    assert call(*making) == 0 and scored
    assert {name for name in bucket.objects if "made" in name} == {
        "bucket/made/blocks.h5" if suffix == ".h5" else "bucket/made/blocks.parquet/part-00000.parquet"
    }
    assert not left(here)
    made = open_cache(cache)
    assert str(made.path) == cache and compare(made, open_cache(cache_path)).equal
    scored.clear()
    capsys.readouterr()
    assert call(*making) == 0 and not scored
    assert "nothing to do" in capsys.readouterr().out

    assert call("train", "--cache", cache, "--run", run, "--backbone", "linear", "--epochs", 1, "--workers", 0) == 0
    assert cache in (run / "settings.json").read_text()
    assert call("evaluate", run, "--workers", 0) == 0
    assert call("verify", cache) == call("inspect", cache, "--json") == call("cache", "diff", cache, cache_path) == 0
    other = ADDRESS + (".parquet" if suffix == ".h5" else ".h5")
    assert call("convert", cache, other) == 0 and call("convert", cache, other) == 1
    assert call("cache", "select", other, "s3://bucket/two.h5", "--classes", "red,blue") == 0
    assert open_cache("s3://bucket/two.h5").classes == ["red", "blue"]
    assert call("cache", "append", cache, "--workers", 0) == 0
    assert not left(here)
    bucket.counted()
    assert call(*making, "--restart", "--yes", "--limit", 13) == 0 and scored
    assert len(open_cache(cache)) == 13


@pytest.mark.parametrize("suffix", [".h5", ".parquet"])
def test_any_store_of_fsspec_holds_a_cache(suffix: str) -> None:
    header, rows = random_cache(rows=7)
    path = location(f"memory://bucket/x{suffix}")
    assert not path.exists()
    with pytest.raises(AevlpError, match="no cache memory://bucket/x"):
        open_cache(path)
    for seed in (0, 1):
        header, rows = random_cache(rows=7, seed=seed)
        write_cache(path, header, [rows])
        np.testing.assert_array_equal(open_cache(path).observed, rows.observed)
    path.remove()  # type: ignore[attr-defined]
    assert not path.exists() and not path.is_dir()
    fsspec.filesystem("memory").store.clear()


@pytest.mark.parametrize("suffix", [".h5", ".parquet"])
def test_an_upload_that_fails_is_made_up_for_without_scoring(
    blocks: Path, cache_path: Path, here: Path, bucket: S3Store, scored: list[int], suffix: str
) -> None:
    path = location(ADDRESS + suffix)
    bucket.fails = lambda kind, name: 403 if kind == "put" and not name.endswith(".probe") else None
    with pytest.raises(RemoteError, match=f"cannot write {ADDRESS}.*the whole cache is kept in cache/s3/bucket/made"):
        stage_one(blocks, path, storage="float32")
    assert scored and {"part-000000.h5", "settings.json"} <= set(left(here))
    kept = here / "cache" / "s3" / "bucket" / "made" / f"blocks{suffix}"
    assert compare(open_cache(kept), open_cache(cache_path)).equal
    assert not path.exists()
    scored.clear()
    bucket.fails = lambda kind, name: None
    stage_one(blocks, path, storage="float32")
    assert not scored and not left(here)
    assert compare(open_cache(path), open_cache(cache_path)).equal


def test_a_store_that_cannot_be_written_to_is_refused_before_any_scoring(
    blocks: Path, bucket: S3Store, scored: list[int], capsys: pytest.CaptureFixture
) -> None:
    given = ("pseudolabel", "--dataset", "blocks", "--manifest", blocks / "blocks.yaml", "--data-root", blocks)
    for kind in ("put", "post"):  # writing, and deleting what was written
        bucket.fails = lambda asked, name, kind=kind: 403 if asked == kind else None
        assert call(*given, "--cache", ADDRESS + ".h5") == 1 and not scored
        assert f"cannot {'write' if kind == 'put' else 'delete'} s3://bucket/made/.blocks.h5." in message(capsys)
    bucket.fails = lambda kind, name: None
    assert call(*given, "--cache", "s3://blocks.h5") == 1
    assert "a whole bucket" in message(capsys)
    bucket.objects["bucket/made/blocks.parquet/notes.txt"] = b"mine"
    assert call(*given, "--cache", ADDRESS + ".parquet") == 1
    assert "holds 'notes.txt', which is no part of a cache" in message(capsys)
    bucket.objects["bucket/made/blocks.h5/notes.txt"] = b"mine"
    assert call(*given, "--cache", ADDRESS + ".h5") == 1
    assert "is a folder, a .h5 cache is not" in message(capsys) and not scored
    check_writable(Path("local.h5"))


@pytest.mark.parametrize("suffix", [".h5", ".parquet"])
def test_a_cache_is_fetched_once_until_it_is_written_anew(here: Path, bucket: S3Store, suffix: str) -> None:
    path = location(ADDRESS + suffix)
    for seed in (0, 1):
        header, rows = random_cache(seed=seed)
        write_cache(path, header, [rows])
        bucket.counted()
        for number in range(2):
            np.testing.assert_array_equal(open_cache(path).observed, rows.observed)
            assert bucket.counted().get("get", 0) == 1 - number
        assert len(list((here / "copies" / "aevlp").glob(f"*/*/blocks{suffix}"))) == 1


def test_a_cache_that_is_replaced_while_it_is_fetched_is_not_taken(here: Path, bucket: S3Store) -> None:
    path = location(ADDRESS + ".h5")
    header, rows = random_cache()
    write_cache(path, header, [rows])

    def replace(kind: str, name: str) -> None:
        if kind == "get":
            bucket.objects[name] += b"more"

    bucket.fails = replace
    with pytest.raises(RemoteError, match="written anew while it was fetched"):
        open_cache(path)
    bucket.fails = lambda kind, name: 403 if kind == "get" else None
    with pytest.raises(RemoteError, match=f"cannot fetch {path}"):
        open_cache(path)
    assert not list((here / "copies").rglob("*.h5"))


def test_half_of_a_parquet_folder_is_refused(bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROWS_A_FILE", ROWS_A_BLOCK)
    path = location(ADDRESS + ".parquet")
    header, rows = random_cache(rows=3 * ROWS_A_BLOCK, classes=2, grid=1)
    write_cache(path, header, in_blocks(rows, ROWS_A_BLOCK))
    names = sorted(name for name in bucket.objects if "part-" in name)
    assert len(names) == 3
    # One file does not arrive: neither in a new folder, nor in the place of an old one's.
    bucket.fails = lambda kind, name: 403 if kind == "put" and name == names[1] else None
    with pytest.raises(RemoteError, match="the whole cache is kept in"):
        write_cache(path, header, in_blocks(rows, ROWS_A_BLOCK))
    assert [name for name in names if name in bucket.objects] == names[:1]
    with pytest.raises(AevlpError, match=r"cannot use s3://.*1,?024 rows found, .* files are missing"):
        open_cache(path)
    # A store that says that all was deleted, and keeps some of it.
    bucket.fails = lambda kind, name: None

    async def nothing(*_: object) -> list[str]:
        return []

    monkeypatch.setattr("s3fs.S3FileSystem._bulk_delete", nothing)
    with pytest.raises(RemoteError, match="the store keeps it"):
        write_cache(path, header, in_blocks(rows, ROWS_A_BLOCK))


def test_a_large_file_appears_whole_or_not_at_all(here: Path, bucket: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("s3fs.core.calculate_chunksize", lambda size, chunksize=None: 1 << 14)
    path = location(ADDRESS + ".h5")
    header, rows = random_cache(rows=300)
    write_cache(path, header, [rows])
    assert bucket.counted()["part"] >= 3 and not bucket.parts
    before = bucket.objects["bucket/made/blocks.h5"]
    header, rows = random_cache(rows=300, seed=1)
    bucket.fails = lambda kind, name: 403 if kind == "part" and len(bucket.parts.get(name, ())) == 2 else None
    with pytest.raises(RemoteError, match="cannot write"):
        write_cache(path, header, [rows])
    assert bucket.objects["bucket/made/blocks.h5"] == before and not bucket.parts
    with h5py.File(on_disk(path)) as file:
        assert "observed" in file


def test_the_store_is_asked_anew_whether_it_has_a_cache(bucket: S3Store) -> None:
    path = location("s3://bucket/late.h5")
    assert not path.exists() and not path.is_file()
    bucket.objects["bucket/late.h5"] = b"x"
    assert path.exists() and not path.is_file()  # which is of the listing
    forget_listings()
    assert path.is_file()
