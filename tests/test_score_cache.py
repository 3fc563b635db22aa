"""The score cache in both formats: what is written is what is read, streamed codes are the plain ones, damage is named."""

import json
from pathlib import Path

import h5py
import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.pseudo_labels import damp_codes
from aevlp.pipeline.score_cache import open_cache, reader, write_cache
from fakes import SETTINGS, blocks, random_cache

SUFFIXES = (".h5", ".parquet")
COLUMNS = ("similarity", "embedding", "score", "code")


def written(folder: Path, suffix: str, block: int = 3, **content):
    header, rows = random_cache(**content)
    path = folder / f"c{suffix}"
    write_cache(path, header, blocks(rows, block))
    return open_cache(path), header, rows


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(
    rows=st.integers(1, 9),
    classes=st.integers(1, 5),
    grid=st.integers(0, 2),
    storage=st.sampled_from(["float16", "float32"]),
    has_truth=st.booleans(),
    block=st.integers(1, 9),
)
@settings(max_examples=15, deadline=None)
def test_a_row_read_back_equals_the_row_written(
    tmp_path_factory, suffix, rows, classes, grid, storage, has_truth, block
):
    given_content = {"rows": rows, "classes": classes, "grid": grid, "storage": storage, "has_truth": has_truth}
    cache, header, content = written(tmp_path_factory.mktemp("c"), suffix, block, **given_content)
    assert cache.header == header and cache.classes == list(header.classes) and len(cache) == rows
    for name in ("ids", "paths", "split", "status", "reason"):
        assert getattr(cache, name).tolist() == getattr(content, name)
    np.testing.assert_array_equal(cache.observed, content.observed)
    if has_truth:
        np.testing.assert_array_equal(cache.truth, content.truth)
    else:
        assert cache.truth is None
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(cache, name)(slice(None)), getattr(content, name))
    assert cache.similarity(slice(None)).dtype == np.float32


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    "rows", [slice(2, 6), slice(None, None, 2), [5, 0, 5, 3], [-1, 0], np.arange(20) % 3 == 0, np.array([7]), []]
)
def test_rows_can_be_asked_for_in_any_way(tmp_path: Path, suffix: str, rows) -> None:
    cache, _, content = written(tmp_path, suffix, rows=20)
    rows = np.array(rows, dtype=int) if isinstance(rows, list) else rows
    np.testing.assert_array_equal(cache.similarity(rows), content.similarity[rows])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_rows_out_of_range_are_a_clear_error(tmp_path: Path, suffix: str) -> None:
    cache, _, _ = written(tmp_path, suffix, rows=4)
    with pytest.raises(AevlpError, match="rows go from 0 to 3"):
        cache.similarity([4])


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_unicode_ids_and_classes(tmp_path: Path, suffix: str) -> None:
    header, rows = random_cache(rows=2)
    rows.ids = ["häuser/übung 1.jpg", "照片/🐈.png"]
    write_cache(tmp_path / f"c{suffix}", header, [rows])
    assert open_cache(tmp_path / f"c{suffix}").ids.tolist() == rows.ids


@pytest.mark.parametrize("block_bytes", [1, 700, 1 << 20])
def test_streamed_codes_are_the_plain_ones(tmp_path: Path, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, _, content = written(tmp_path, ".h5", rows=30, bad=3)
    monkeypatch.setattr(reader, "BLOCK_BYTES", block_bytes)
    ok = cache.status == "ok"
    cosines = content.similarity[ok].astype(np.float32)
    expected = np.zeros((30, 5), dtype=np.int8)
    expected[ok] = damp_codes(cosines.mean(axis=1), content.observed[ok], SETTINGS)
    np.testing.assert_array_equal(cache.codes(SETTINGS), expected)
    assert expected.any()

    drawn = (np.random.default_rng([4, 2]).random((30, 5)) * 2).astype(int)  # one flip an image and view
    flipped = np.stack([[content.similarity[n, drawn[n, v], v] for v in range(5)] for n in range(30)]).astype(
        np.float32
    )
    expected[ok] = damp_codes(flipped[ok], content.observed[ok], SETTINGS)
    np.testing.assert_array_equal(cache.codes(SETTINGS, epoch=2, seed=4), expected)


def test_epochs_and_seeds_draw_other_flips_and_no_view_is_tied_to_another(tmp_path: Path) -> None:
    cache, _, _ = written(tmp_path, ".h5", rows=60, bad=0)
    first = cache.codes(SETTINGS, epoch=1)
    np.testing.assert_array_equal(first, cache.codes(SETTINGS, epoch=1))
    assert (first != cache.codes(SETTINGS, epoch=2)).any()
    assert (first != cache.codes(SETTINGS, epoch=1, seed=1)).any()


@pytest.mark.parametrize("first, second", [SUFFIXES, SUFFIXES[::-1]])
def test_converting_there_and_back_changes_nothing(tmp_path: Path, first: str, second: str) -> None:
    cache, header, _ = written(tmp_path, first, rows=11)
    write_cache(tmp_path / f"d{second}", header, cache.rows())
    other = open_cache(tmp_path / f"d{second}")
    assert other.fingerprint == cache.fingerprint
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(other, name)(slice(None)), getattr(cache, name)(slice(None)))


def test_many_parquet_files_are_one_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aevlp.pipeline.score_cache.parquet.ROWS_A_FILE", 4)
    monkeypatch.setattr("aevlp.pipeline.score_cache.parquet.ROWS_A_GROUP", 2)
    cache, _, content = written(tmp_path, ".parquet", rows=11)
    assert len(list((tmp_path / "c.parquet").iterdir())) == 3
    np.testing.assert_array_equal(cache.similarity([10, 3, 4]), content.similarity[[10, 3, 4]])
    (tmp_path / "c.parquet" / "part-00001.parquet").unlink()
    with pytest.raises(AevlpError, match="7 rows found, the header says 11"):
        open_cache(tmp_path / "c.parquet")


def test_readable_with_plain_libraries(tmp_path: Path) -> None:
    _, header, content = written(tmp_path, ".h5")
    written(tmp_path, ".parquet")
    with h5py.File(tmp_path / "c.h5") as file:
        assert json.loads(file["header"][()])["classes"] == list(header.classes)  # type: ignore[index]
        np.testing.assert_array_equal(file["similarity"][:], content.similarity)  # type: ignore[index]
    table = pq.read_table(tmp_path / "c.parquet")
    assert json.loads(table.schema.metadata[b"aevlp"])["rows"] == 7
    flat = np.concatenate([chunk.flatten().to_numpy() for chunk in table["code"].chunks])
    np.testing.assert_array_equal(flat.reshape(7, 5), content.code)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_writer_that_fails_leaves_what_was_there(tmp_path: Path, suffix: str) -> None:
    cache, header, rows = written(tmp_path, suffix)

    def failing():
        yield from list(blocks(rows, 3))[:1]
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_cache(cache.path, header, failing())
    with pytest.raises(AevlpError, match="expected 7 rows, 3 were given"):
        write_cache(cache.path, header, list(blocks(rows, 3))[:1])
    assert open_cache(cache.path).fingerprint == cache.fingerprint
    assert [p.name for p in tmp_path.iterdir()] == [cache.path.name]


@pytest.mark.parametrize("content", [b"", b"not a cache", None])
def test_half_a_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    for suffix in SUFFIXES:
        written(tmp_path, suffix)
    for path in (tmp_path / "c.h5", tmp_path / "c.parquet" / "part-00000.parquet"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    for suffix in SUFFIXES:
        with pytest.raises(AevlpError, match="cannot be read as"):
            open_cache(tmp_path / f"c{suffix}")


def test_what_is_no_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "file.parquet").write_text("x")
    (tmp_path / "empty.parquet").mkdir()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with h5py.File(tmp_path / "future.h5", "w") as file:
        file["header"] = json.dumps({"format": 99})
    with h5py.File(tmp_path / "odd.h5", "w") as file:
        file["header"] = json.dumps({"format": 1, "rows": 3})
    for name, message in (
        ("none.h5", "no cache .*aevlp pseudolabel"),
        ("none.txt", "a .h5 file or a .parquet folder"),
        ("file.parquet", "found a file"),
        ("empty.parquet", "no part-"),
        ("other.h5", "header is missing"),
        ("future.h5", "format 99"),
        ("odd.h5", "not one of an aevlp cache"),
    ):
        with pytest.raises(AevlpError, match=message):
            open_cache(tmp_path / name)
