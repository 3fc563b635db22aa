"""Both formats of the score cache: what is read is what was written, codes follow their definition, damage is told."""

import copy
import json
import pickle
import shlex
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from laws import each

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.damp import DampSettings, damp_codes
from aevlp.pipeline.score_cache import (
    CacheHeader,
    CacheRows,
    ScoreCache,
    hdf5,
    open_cache,
    open_to_verify,
    parquet,
    reader,
    write_cache,
)
from aevlp.pipeline.score_cache.schema import in_blocks, joined
from fakes import SETTINGS, blocks, random_cache

FORMATS = ["h5", "parquet"]
TEXT = ("ids", "paths", "split", "status", "reason", "stamps")
WITHOUT_TOP_K = DampSettings(temperature=0.05, eta=0.5, threshold=0.1, top_k=4, negative_ratio=0.5, compat="published")
HALF = replace(SETTINGS, compat="published", half=True)


@pytest.fixture(params=FORMATS)
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where a cache of either format goes."""
    return tmp_path / f"fake.{request.param}"


@pytest.fixture
def many_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make caches of a few rows consist of several blocks, and Parquet ones of several files."""
    for module in (parquet, hdf5, reader):
        monkeypatch.setattr(module, "ROWS_A_BLOCK", 4)
    monkeypatch.setattr(parquet, "ROWS_A_FILE", 8)


def cached(path: Path, block: int = 3, **options: Any) -> tuple[ScoreCache, CacheHeader, CacheRows]:
    """Write a random cache in blocks and open it."""
    header, content = random_cache(**options)
    write_cache(path, header, blocks(content, block))
    return open_cache(path), header, content


def assert_same(found: CacheRows, expected: CacheRows) -> None:
    for field in fields(CacheRows):
        mine, theirs = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(theirs, np.ndarray):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs, err_msg=field.name)
        else:
            assert mine == theirs, field.name


def whole(cache: ScoreCache) -> CacheRows:
    """Return what `rows` yields as one block."""
    parts = list(cache.rows())
    columns: dict[str, Any] = {}
    for field in fields(CacheRows):
        values = [getattr(part, field.name) for part in parts]
        if isinstance(values[0], np.ndarray):
            columns[field.name] = np.concatenate(values)
        else:
            columns[field.name] = None if values[0] is None else [text for part in values for text in part]
    return CacheRows(**columns)


def one_line(action: Callable[[], Any]) -> str:
    """Return the text with which an action is refused."""
    with pytest.raises(AevlpError) as caught:
        action()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def read_all(path: Path) -> None:
    cache = open_cache(path)
    for _ in cache.rows():
        pass
    cache.codes(SETTINGS)


def a_file_of(path: Path) -> Path:
    """Return the cache's first file: itself, or the first part."""
    return path if path.is_file() else min(path.iterdir())


# What is written is read


@each(storage=["float16", "float32"], has_truth=[True, False], block=[1, 3, 100])
def test_everything_read_is_what_was_written(path: Path, storage: str, has_truth: bool, block: int) -> None:
    cache, header, content = cached(path, block, rows=11, storage=storage, has_truth=has_truth, bad=3)
    assert cache.header == header
    assert len(cache) == 11
    assert (cache.classes, cache.prompts) == (list(header.classes), list(header.prompts))
    assert cache.provenance == header.provenance
    for name in TEXT:
        assert getattr(cache, name).tolist() == getattr(content, name)
    np.testing.assert_array_equal(cache.observed, content.observed)
    assert cache.observed.dtype == np.int8
    if has_truth:
        np.testing.assert_array_equal(np.asarray(cache.truth), content.truth)
    else:
        assert cache.truth is None
    for name, values in (("similarity", content.similarity), ("embedding", content.embedding)):
        found = getattr(cache, name)(slice(None))
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values.astype(np.float32))
    np.testing.assert_array_equal(cache.score(slice(None)), content.score)
    np.testing.assert_array_equal(cache.code(slice(None)), content.code)
    assert_same(whole(cache), content)


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=6)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ids=st.lists(WORDS, min_size=1, max_size=9),
    classes=st.integers(1, 4),
    grid=st.integers(1, 2),
    flips=st.integers(1, 3),
    data=st.data(),
)
def test_any_row_read_back_equals_the_row_written(
    path: Path, ids: list[str], classes: int, grid: int, flips: int, data: st.DataObject
) -> None:
    n = len(ids)
    storage = data.draw(st.sampled_from(["float16", "float32"]))
    bad = data.draw(st.integers(0, n))
    stores = data.draw(st.sampled_from(["cosine", "embedding"]))
    options = {"storage": storage, "bad": bad, "has_truth": data.draw(st.booleans()), "seed": n, "stores": stores}
    header, content = random_cache(n, classes, grid, flips=flips, width=1 + n % 3, **options)
    prompts = tuple(data.draw(st.lists(WORDS, min_size=classes, max_size=classes)))
    header = replace(header, prompts=prompts, provenance={"é": [1, None, {"x": 0.1}]})
    content = replace(content, ids=ids, reason=ids[::-1])
    write_cache(path, header, blocks(content, data.draw(st.integers(1, n))))
    cache = open_cache(path)
    assert cache.header.to_json() == header.to_json()
    assert_same(whole(cache), content)


@pytest.mark.usefixtures("many_files")
def test_many_row_groups_and_files_are_one_cache(path: Path) -> None:
    cache, _, content = cached(path, block=5, rows=30, bad=4)
    assert_same(whole(cache), content)
    if path.is_dir():
        assert sorted(p.name for p in path.iterdir()) == [f"part-{n:05d}.parquet" for n in range(4)]


@pytest.mark.usefixtures("many_files")
def test_parquet_files_do_not_depend_on_the_batch_they_came_in(tmp_path: Path) -> None:
    header, content = random_cache(rows=19)
    found = []
    for block in (1, 3, 8, 100):
        path = tmp_path / f"{block}.parquet"
        write_cache(path, header, blocks(content, block))
        found.append({p.name: p.read_bytes() for p in path.iterdir()})
    assert all(files == found[0] for files in found)


def test_rows_that_are_not_ok_hold_no_number(path: Path) -> None:
    cache, _, content = cached(path, rows=9, bad=4)
    bad = cache.status != "ok"
    assert bad.sum() == 4
    assert set(cache.status) == {"ok", "unreadable", "missing"}
    for values in (cache.similarity(bad), cache.embedding(bad), cache.score(bad)):
        assert np.isnan(values).all()
        assert len(values) == 4
    assert not np.isnan(cache.similarity(~bad)).any()
    assert (cache.code(bad) == 0).all()
    assert all(cache.reason[bad]) and not any(cache.reason[~bad])
    assert content.status == cache.status.tolist()


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("storage", ["float16", "float32"])
def test_cosines_of_stored_embeddings_are_products_with_the_prompts_vectors(path: Path, storage: str) -> None:
    cache, header, content = cached(path, rows=11, stores="embedding", storage=storage, bad=2)
    assert header.text is not None and content.view_embedding is not None
    assert (content.similarity, content.embedding) == (None, None)
    assert (cache.header.stores, cache.header.to_json()) == ("embedding", header.to_json())
    np.testing.assert_array_equal(cache.header.text, header.text)
    assert_same(whole(cache), content)
    ok = np.flatnonzero(cache.status == "ok")
    for row in ok.tolist():
        plain = [[[float(np.dot(v, t)) for t in header.text] for v in flip] for flip in content.view_embedding[row]]
        np.testing.assert_allclose(cache.similarity([row])[0], plain, atol=1e-6 if storage == "float32" else 1e-3)
    views = cache.view_embedding(slice(None))
    np.testing.assert_array_equal(views, content.view_embedding.astype(np.float32))
    np.testing.assert_array_equal(cache.embedding([3, 1]), views[[3, 1], :, 0])
    assert np.isnan(cache.similarity(cache.status != "ok")).all()
    np.testing.assert_array_equal(cache.codes(SETTINGS), content.code)


def test_a_cache_of_cosines_has_no_view_embeddings(path: Path) -> None:
    cache, _, _ = cached(path)
    assert f"{path} holds cosines, no embeddings" in one_line(lambda: cache.view_embedding([0]))


# Rows on demand

N = 13
SELECTIONS = {
    "all": slice(None),
    "slice": slice(2, 9),
    "stepped": slice(1, None, 3),
    "backwards": slice(None, None, -1),
    "past the end": slice(10, 99),
    "nothing": slice(4, 4),
    "mask": np.arange(N) % 3 == 0,
    "no mask": np.zeros(N, dtype=bool),
    "repeated": np.array([4, 4, 0, 12, 4]),
    "unordered": [7, 2, 11, 0],
    "negative": np.array([-1, -13, 3]),
    "one": [5],
    "empty list": [],
    "neighbours": [3, 4, 5, 6],
}


@pytest.mark.usefixtures("many_files")
@each(selection=SELECTIONS)
def test_rows_come_in_the_order_asked_for(path: Path, selection: str) -> None:
    rows = SELECTIONS[selection]
    cache, _, content = cached(path, rows=N)
    plain = np.arange(N)[np.asarray(rows, dtype=int) if isinstance(rows, list) else rows]
    for name in ("similarity", "embedding", "score", "code"):
        expected = getattr(content, name)[plain]
        np.testing.assert_array_equal(getattr(cache, name)(rows), expected)
        assert getattr(cache, name)(rows).shape == expected.shape


@pytest.mark.usefixtures("many_files")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(numbers=st.sets(st.integers(0, N - 1)).map(sorted))
def test_some_rows_come_as_they_were_written(path: Path, numbers: list[int]) -> None:
    header, content = random_cache(rows=N)
    if not path.exists():
        write_cache(path, header, blocks(content, 4))
    parts = list(open_cache(path).rows(np.array(numbers, dtype=int)))
    assert sum(map(len, parts)) == len(numbers)
    if parts:
        assert_same(joined(parts), content.take(np.array(numbers, dtype=int)))


@pytest.mark.usefixtures("many_files")
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(-N, N - 1), max_size=20))
@pytest.mark.parametrize("kind", FORMATS)
def test_any_numbers_give_those_rows(tmp_path: Path, kind: str, rows: list[int]) -> None:
    path = tmp_path / f"fake.{kind}"
    header, content = random_cache(rows=N)
    if not path.exists():
        write_cache(path, header, blocks(content, 4))
    found = open_cache(path).similarity(rows)
    np.testing.assert_array_equal(found, content.similarity[np.array(rows, dtype=int)])


@pytest.mark.parametrize("rows", [[0, 13], np.array([-14]), np.ones(5, dtype=bool), [0.5]], ids=str)
def test_rows_that_are_not_there_are_a_mistake(path: Path, rows: Any) -> None:
    cache, _, _ = cached(path, rows=N)
    for read in (cache.similarity, cache.embedding, cache.score, cache.code):
        assert f"{path}: rows go from 0 to 12" in one_line(lambda read=read: read(rows))


def test_reading_changes_nothing_and_holds_no_handle(path: Path) -> None:
    cache, header, content = cached(path)
    first = cache.similarity(slice(None))
    first[:] = 7
    np.testing.assert_array_equal(cache.similarity(slice(None)), content.similarity)
    # A worker process gets a copy; it reads as the original does.
    for twin in (pickle.loads(pickle.dumps(cache)), copy.deepcopy(cache)):  # noqa: S301
        np.testing.assert_array_equal(twin.similarity([1, 0]), content.similarity[[1, 0]])
    write_cache(path, replace(header, provenance={"made": "later"}), blocks(content, 2))  # nothing keeps it open
    assert open_cache(path).provenance == {"made": "later"}


def test_equal_content_has_equal_fingerprints_in_both_formats(tmp_path: Path) -> None:
    header, content = random_cache(rows=6)
    relabelled = replace(content, observed=np.roll(content.observed, 1, axis=1))
    renamed = replace(content, ids=[*content.ids[:-1], "another"])
    rescored = replace(header, provenance={**header.provenance, "weights_sha256": "2" * 64})
    variants = [(header, content), (header, relabelled), (header, renamed), (rescored, content)]
    found = []
    for n, (head, rows) in enumerate(variants):
        for kind in FORMATS:
            write_cache(tmp_path / f"{n}.{kind}", head, blocks(rows, 4))
        prints = {open_cache(tmp_path / f"{n}.{kind}").fingerprint for kind in FORMATS}
        assert len(prints) == 1
        found += prints
    assert len(set(found)) == len(variants)


# Codes


def plain_codes(
    content: CacheRows, choice: DampSettings, epoch: int | None = None, seed: int = 0, views: slice = slice(None)
) -> np.ndarray:
    """Return the codes image by image: the flips' mean, or for each view the flip that is drawn for it."""
    n, flips, views_there, classes = content.similarity.shape
    draws = np.random.default_rng([seed, epoch or 0]).random(n * views_there).reshape(n, views_there)
    codes = np.zeros((n, classes), dtype=np.int8)
    for row in range(n):
        if content.status[row] != "ok":
            continue
        cosines = content.similarity[row].astype(np.float32)
        if epoch is None:
            seen = np.add.reduce(cosines) / np.float32(flips)
        else:
            seen = np.stack([cosines[int(draws[row, view] * flips), view] for view in range(views_there)])
        codes[row] = damp_codes(seen[None, views], content.observed[row : row + 1], choice)[0]
    return codes


@each(choice=[SETTINGS, WITHOUT_TOP_K, HALF], flips=[1, 2, 3], epoch=[None, 0, 1, 9])
def test_codes_follow_their_definition(path: Path, choice: DampSettings, flips: int, epoch: int | None) -> None:
    cache, _, content = cached(path, rows=40, classes=6, flips=flips, storage="float32", bad=5)
    codes = cache.codes(choice, epoch, seed=3)
    assert codes.dtype == np.int8
    np.testing.assert_array_equal(codes, plain_codes(content, choice, epoch, seed=3))
    assert (codes == 1).any()


@pytest.mark.parametrize("views", [slice(1), slice(1, None), slice(2, 4)], ids=str)
@pytest.mark.parametrize("epoch", [None, 2])
def test_codes_of_some_views_draw_the_same_flips(path: Path, views: slice, epoch: int | None) -> None:
    cache, _, content = cached(path, rows=30, storage="float32", bad=2)
    codes = cache.codes_of_views(SETTINGS, views, epoch, seed=1)
    np.testing.assert_array_equal(codes, plain_codes(content, SETTINGS, epoch, 1, views))


@pytest.mark.usefixtures("many_files")
def test_codes_do_not_depend_on_the_size_of_a_block(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, header, _ = cached(path, rows=29, bad=6)
    row_bytes = np.dtype(header.storage).itemsize * header.flips * header.views * len(header.classes)
    whole = {epoch: cache.codes(SETTINGS, epoch) for epoch in (None, 1)}
    held: list[int] = []
    read = cache._store.array

    def counted(name: str, rows: np.ndarray) -> np.ndarray:
        found = read(name, rows)
        if name in ("similarity", "view_embedding"):
            held.append(len(found))
        return found

    monkeypatch.setattr(cache._store, "array", counted)
    for rows in (1, 2, 7, 29, 30):
        monkeypatch.setattr(reader, "BLOCK_BYTES", rows * row_bytes)
        for epoch, expected in whole.items():
            held.clear()
            np.testing.assert_array_equal(cache.codes(SETTINGS, epoch), expected)
            assert max(held) <= rows and sum(held) == 23  # never more at a time, each row once that has scores
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1)  # less than a row
    np.testing.assert_array_equal(cache.codes(SETTINGS, 1), whole[1])


def test_each_epoch_and_each_seed_is_another_draw(path: Path) -> None:
    cache, _, _ = cached(path, rows=60)
    draws = {
        (seed, epoch): cache.codes(SETTINGS, epoch, seed).tobytes() for seed in (0, 1) for epoch in (None, 0, 1, 2)
    }
    assert draws[0, None] == draws[1, None]  # the mean draws nothing
    assert len(set(draws.values())) == 7
    assert cache.codes(SETTINGS, 2, 1).tobytes() == draws[1, 2]


def test_flips_are_fair_and_drawn_for_each_view_and_epoch_on_its_own(path: Path) -> None:
    """A view that shows class 0 when plain and class 1 when mirrored tells by its code which of them was drawn."""
    rows, views = 2000, 5
    header, content = random_cache(rows=rows, classes=2, bad=0)
    similarity = np.zeros((rows, 2, views, 2), dtype=np.float16)
    similarity[:, 0, :, 0] = similarity[:, 1, :, 1] = 1
    write_cache(path, header, [replace(content, similarity=similarity)])
    cache = open_cache(path)
    telling = DampSettings(temperature=0.1, eta=0.0, threshold=0.5, top_k=1, negative_ratio=0.0)
    mirrored = [
        cache.codes_of_views(telling, slice(view, view + 1), epoch)[:, 1] == 1
        for epoch in (1, 2)
        for view in range(views)
    ]
    # Ten columns of coin tosses: half of each is heads, and no two of them have to do with each other.
    sigma = 1 / np.sqrt(rows)
    assert np.abs(np.mean(mirrored, axis=1) - 0.5).max() < 4 * sigma / 2
    correlation = np.corrcoef(mirrored)
    np.fill_diagonal(correlation, 0)
    assert np.abs(correlation).max() < 4 * sigma
    # Nor has an image to do with the one before it.
    heads = np.array(mirrored) * 2.0 - 1
    assert np.abs((heads[:, 1:] * heads[:, :-1]).mean(axis=1)).max() < 4 * sigma


@pytest.mark.parametrize("epoch", [None, 1])
@pytest.mark.filterwarnings("error")
def test_rows_that_are_not_ok_are_unknown_throughout(path: Path, epoch: int | None) -> None:
    cache, _, _ = cached(path, rows=12, bad=5)
    codes = cache.codes(SETTINGS, epoch)
    bad = cache.status != "ok"
    assert (codes[bad] == 0).all()
    assert (codes[~bad] != 0).any(axis=1).all()
    none_ok, _, _ = cached(path, rows=4, bad=4)
    assert (none_ok.codes(SETTINGS, epoch) == 0).all()


# The same content elsewhere


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("has_truth", [True, False])
@pytest.mark.parametrize("kinds", [("h5", "parquet", "h5"), ("parquet", "h5", "parquet")], ids="-".join)
def test_there_and_back_again_is_the_same_cache(
    tmp_path: Path, kinds: tuple[str, ...], has_truth: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1000)
    header, content = random_cache(rows=21, bad=3, has_truth=has_truth)
    paths = [tmp_path / f"{n}.{kind}" for n, kind in enumerate(kinds)]
    write_cache(paths[0], header, blocks(content, 5))
    for source, target in pairwise(paths):
        cache = open_cache(source)
        write_cache(target, cache.header, cache.rows())
    for path in paths:
        cache = open_cache(path)
        assert cache.header == header
        assert_same(whole(cache), content)
    assert len({open_cache(path).fingerprint for path in paths}) == 1


@pytest.mark.parametrize("has_truth", [True, False])
def test_an_hdf5_cache_is_readable_without_aevlp(tmp_path: Path, has_truth: bool) -> None:
    _, header, content = cached(tmp_path / "fake.h5", rows=8, has_truth=has_truth)
    with h5py.File(tmp_path / "fake.h5") as file:
        described = json.loads(file["header"].asstr()[()])  # type: ignore[union-attr]
        columns: dict[str, Any] = dict(file.items())
        assert list(columns["classes"].asstr()) == list(header.classes)
        assert list(columns["prompts"].asstr()) == list(header.prompts)
        for name in TEXT:
            assert list(columns[name].asstr()) == getattr(content, name)
        numeric = set(columns) - {"header", "classes", "prompts", "checksums", *TEXT}
        assert numeric == {"observed", "similarity", "embedding", "score", "code"} | ({"truth"} if has_truth else set())
        for name in numeric:
            np.testing.assert_array_equal(columns[name][()], getattr(content, name))
            assert columns[name].dtype == getattr(content, name).dtype
    assert (described["format"], described["text"]) == (2, None)
    assert described["provenance"] == header.provenance
    assert (described["rows"], described["flips"], described["views"], described["width"]) == (8, 2, 5, 4)


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("has_truth", [True, False])
def test_a_parquet_cache_is_readable_without_aevlp(tmp_path: Path, has_truth: bool) -> None:
    _, header, content = cached(tmp_path / "fake.parquet", rows=11, has_truth=has_truth)
    table = pq.read_table(tmp_path / "fake.parquet")
    numeric = {"observed", "similarity", "embedding", "score", "code"} | ({"truth"} if has_truth else set())
    assert set(table.column_names) == {*TEXT, *numeric}
    for name in TEXT:
        assert table[name].to_pylist() == getattr(content, name)
    for name in numeric:
        expected = getattr(content, name)
        found = np.array(table[name].to_pylist(), dtype=expected.dtype)
        np.testing.assert_array_equal(found, expected.reshape(11, -1))
        assert table.schema.field(name).type.value_type == pa.from_numpy_dtype(expected.dtype)
    for file in (tmp_path / "fake.parquet").iterdir():
        metadata = pq.read_schema(file).metadata or {}
        assert json.loads(metadata[b"aevlp"])["prompts"] == list(header.prompts)


# Blocks


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=st.integers(1, 9), stores=st.sampled_from(["cosine", "embedding"]))
def test_blocks_are_the_same_whatever_the_parts(data: st.DataObject, size: int, stores: str) -> None:
    _, content = random_cache(rows=data.draw(st.integers(1, 30)), stores=stores)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(content)))) | {0, len(content)})
    found = list(in_blocks((content.take(slice(*cut)) for cut in pairwise(cuts)), size))
    assert [len(block) for block in found[:-1]] == [size] * (len(found) - 1)
    assert 1 <= len(found[-1]) <= size
    assert_same(joined(found), content)


def test_no_part_is_no_block() -> None:
    assert list(in_blocks([], 3)) == []


# What is not a cache


def test_a_wrong_suffix_or_a_missing_path_says_what_to_do(tmp_path: Path) -> None:
    header, content = random_cache()
    for name in ("fake.hdf5", "fake", "fake.h5.bak", "fake.parq"):
        path, expected = tmp_path / name, "a cache is a .h5 file or a .parquet folder"
        said = one_line(lambda path=path: open_cache(path))
        assert said == f"there is no cache {path}: {expected}, and aevlp pseudolabel SOURCE makes one"
        assert one_line(lambda path=path: write_cache(path, header, [content])) == f"{path}: {expected}"
    for kind in FORMATS:
        found = one_line(lambda kind=kind: open_cache(str(tmp_path / f"none.{kind}")))
        assert f"no cache {tmp_path / f'none.{kind}'}: make it with aevlp pseudolabel" in found


def test_what_is_given_in_the_place_of_a_cache_is_named_and_what_makes_one_of_it(tmp_path: Path) -> None:
    (tmp_path / "my photos").mkdir()
    (tmp_path / "pets.csv").write_text("image,labels\n")
    (tmp_path / "pets.yaml").write_text("datasets: {}\n")
    for name, kind in (("my photos", "a folder"), ("pets.csv", "a file"), ("pets.yaml", "a manifest")):
        said = one_line(lambda name=name: open_cache(tmp_path / name))
        assert said.startswith(f"{tmp_path / name} is {kind}, expected a cache: ")
        assert said.endswith(f" aevlp pseudolabel {shlex.quote(str(tmp_path / name))} makes one")
    for place in (".", "..", "/"):
        assert f"{place} is a folder, expected a cache" in one_line(lambda place=place: open_cache(place))
    header, content = random_cache()
    write_cache(tmp_path / "pets.h5", header, [content])
    for name, found in (
        ("pets.yaml", "is a manifest, expected a cache"),
        ("pets.csv", "is a file"),
        ("pets", "no cache"),
    ):
        said = one_line(lambda name=name: open_to_verify(tmp_path / name))
        assert found in said and said.endswith(f"; did you mean {tmp_path / 'pets.h5'}?")


def test_a_file_in_the_place_of_a_folder_and_the_reverse(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    assert "a .parquet cache is a folder of Parquet files, found a file" in one_line(
        lambda: open_cache(tmp_path / "a.parquet")
    )
    (tmp_path / "a.h5").mkdir()
    assert str(tmp_path / "a.h5") in one_line(lambda: open_cache(tmp_path / "a.h5"))
    (tmp_path / "b.parquet").mkdir()
    assert "no part-*.parquet in it: not an aevlp cache" in one_line(lambda: open_cache(tmp_path / "b.parquet"))


NO_CACHE = {
    "empty": b"",
    "text": b"image,split,labels\n" * 40,
    "zeros": bytes(5000),
    "noise": np.random.default_rng(0).bytes(5000),
}


@pytest.mark.parametrize("kind", NO_CACHE)
def test_something_else_under_the_name_of_a_cache_is_one_clear_line(path: Path, kind: str) -> None:
    cached(path)
    file = a_file_of(path)
    file.write_bytes(NO_CACHE[kind])
    found = one_line(lambda: open_cache(path))
    assert str(file) in found
    assert "cannot be read as" in found


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.9, 0.999])
def test_a_file_cut_short_is_one_clear_line(path: Path, share: float) -> None:
    cached(path, rows=40)
    file = a_file_of(path)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    assert str(file) in one_line(lambda: open_cache(path))


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_a_missing_part_is_one_clear_line(tmp_path: Path, part: int) -> None:
    path = tmp_path / "fake.parquet"
    cached(path, rows=30)
    (path / f"part-{part:05d}.parquet").unlink()
    rows = 30 - (6 if part == 3 else 8)
    assert f"{path}: {rows} rows found, the header says 30: files are missing" in one_line(lambda: open_cache(path))


def test_parts_of_two_caches_in_one_folder_are_one_clear_line(tmp_path: Path) -> None:
    for seed in (0, 1):
        cached(tmp_path / f"{seed}.parquet", seed=seed)
    (tmp_path / "1.parquet" / "part-00000.parquet").rename(tmp_path / "0.parquet" / "part-00001.parquet")
    assert "0.parquet: its files are of different caches" in one_line(lambda: open_cache(tmp_path / "0.parquet"))


def test_a_file_that_another_program_wrote_is_one_clear_line(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = np.zeros(3)
    assert "other.h5: the dataset header is missing: not a whole aevlp cache" in one_line(
        lambda: open_cache(tmp_path / "other.h5")
    )
    (tmp_path / "other.parquet").mkdir()
    pq.write_table(pa.table({"ids": ["a"]}), tmp_path / "other.parquet" / "part-0.parquet")
    assert "other.parquet: the header is not one of an aevlp cache" in one_line(
        lambda: open_cache(tmp_path / "other.parquet")
    )


def change_header(path: Path, change: Callable[[str], str]) -> None:
    """Rewrite the header that a cache holds, with plain h5py or pyarrow."""
    if path.suffix == ".h5":
        with h5py.File(path, "a") as file:
            text = change(file["header"].asstr()[()])  # type: ignore[union-attr]
            del file["header"]
            file["header"] = text
        return
    for part in path.iterdir():
        table = pq.read_table(part)
        metadata = table.schema.metadata or {}
        rewrite(part, table.replace_schema_metadata({b"aevlp": change(metadata[b"aevlp"].decode()).encode()}))


def rewrite(part: Path, table: pa.Table) -> None:
    """Write another table in the place of a part, with the checksums that stood there."""
    sums = b"aevlp.checksums"
    written = pq.ParquetFile(part).metadata.metadata or {}
    pq.write_table(table.replace_schema_metadata({**(table.schema.metadata or {}), sums: written[sums]}), part)


@pytest.mark.parametrize("version", [1, 3])
def test_a_cache_of_another_version_is_named_as_such(path: Path, version: int) -> None:
    cached(path)
    change_header(path, lambda text: text.replace('"format": 2', f'"format": {version}'))
    found = one_line(lambda: open_cache(path))
    assert f"{path}: written in cache format {version}, this version of aevlp reads 2" in found


@each(text=["", "{", "[]", "3", "null", "{}", '{"format": 2}', '{"format": 2, "colour": "red"}'])
def test_a_header_of_something_else_is_one_clear_line(path: Path, text: str) -> None:
    cached(path)
    change_header(path, lambda _: text)
    assert f"{path}: the header is not one of an aevlp cache" in one_line(lambda: open_cache(path))


@pytest.mark.parametrize("name", ["ids", "observed", "truth", "similarity", "status"])
def test_a_missing_column_is_named(tmp_path: Path, name: str) -> None:
    cached(tmp_path / "fake.h5")
    with h5py.File(tmp_path / "fake.h5", "a") as file:
        del file[name]
    assert f"the dataset {name} is missing" in one_line(lambda: open_cache(tmp_path / "fake.h5"))
    cached(tmp_path / "fake.parquet")
    (part,) = (tmp_path / "fake.parquet").iterdir()
    table = pq.read_table(part)
    rewrite(part, table.drop_columns([name]))
    assert f"the column {name} cannot be read" in one_line(lambda: read_all(tmp_path / "fake.parquet"))


def test_a_column_of_another_shape_is_named(tmp_path: Path) -> None:
    cached(tmp_path / "fake.h5")
    with h5py.File(tmp_path / "fake.h5", "a") as file:
        del file["similarity"]
        file["similarity"] = np.zeros((7, 2, 17, 5))
    assert "similarity has the shape (7, 2, 17, 5), the header says (7, 2, 5, 5)" in one_line(
        lambda: open_cache(tmp_path / "fake.h5")
    )


@pytest.mark.parametrize("text", [b"image_0003", b"GCOL"], ids=["text that is not UTF-8", "a lost mark of HDF5's own"])
def test_damage_inside_an_hdf5_file_is_one_clear_line(tmp_path: Path, text: bytes) -> None:
    """Such a file opens, and only reading tells."""
    path = tmp_path / "fake.h5"
    cached(path, rows=40)
    content = path.read_bytes()
    assert text in content
    path.write_bytes(content.replace(text, b"\xff" * len(text)))
    assert str(path) in one_line(lambda: read_all(path))


def assert_told_or_unchanged(path: Path, header: CacheHeader, content: CacheRows) -> bool:
    """Return whether reading a damaged cache is refused; what is read must be what was written."""
    try:
        cache = open_cache(path)
        found = whole(cache)
    except AevlpError as error:
        assert str(path) in str(error)
        return True
    assert cache.header == header
    assert_same(found, content)
    return False


@pytest.mark.parametrize("bit", [1, 128])
def test_no_changed_bit_of_a_parquet_cache_is_taken_for_what_was_written(tmp_path: Path, bit: int) -> None:
    path = tmp_path / "fake.parquet"
    _, header, content = cached(path, rows=20)
    file = a_file_of(path)
    written = file.read_bytes()
    told = 0
    for place in range(0, len(written), 97):
        file.write_bytes(written[:place] + bytes([written[place] ^ bit]) + written[place + 1 :])
        told += assert_told_or_unchanged(path, header, content)
    assert told > 50


NUMERIC = {"cosine": ("similarity", "embedding"), "embedding": ("view_embedding",)}


def change_column(path: Path, name: str, row: int) -> None:
    """Change the value of a row, or one bit of its first number, with plain h5py or pyarrow."""
    if path.suffix == ".h5":
        with h5py.File(path, "r+") as file:
            column: Any = file[name]
            column[row] = "changed" if name in TEXT else flipped(column[row])
        return
    first = 0
    for part in sorted(path.iterdir()):
        table = pq.read_table(part)
        values = table[name].to_pylist()
        if first <= row < first + len(values):
            old = values[row - first]
            dtype = None if name in TEXT else table.schema.field(name).type.value_type.to_pandas_dtype()
            values[row - first] = "changed" if dtype is None else flipped(np.array(old, dtype=dtype)).tolist()
            changed = table.set_column(
                table.column_names.index(name),
                table.schema.field(name),
                pa.array(values, table.schema.field(name).type),
            )
            sums = b"aevlp.checksums"
            written = pq.ParquetFile(part).metadata.metadata or {}
            kept = {**(table.schema.metadata or {}), sums: written[sums]}
            pq.write_table(changed.replace_schema_metadata(kept), part, row_group_size=4)
        first += len(values)


def flipped(values: np.ndarray) -> np.ndarray:
    changed = np.ascontiguousarray(values).copy()
    changed.reshape(-1).view(np.uint8)[0] ^= 1
    return changed


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("stores", NUMERIC)
def test_one_changed_bit_of_any_column_is_found_in_its_block(path: Path, stores: str) -> None:
    for name in (*TEXT, "truth", "observed", *NUMERIC[stores], "score", "code"):
        cached(path, rows=11, stores=stores)
        change_column(path, name, 6)
        cache = open_cache(path)
        assert [cache.damaged(n, cache.block(n)) for n in range(3)] == [[], [name], []]
        found = one_line(lambda cache=cache: list(cache.rows()))
        assert found == f"{path}: rows 4 to 7 of {name} are damaged, their checksums do not agree"
        assert [len(rows) for rows in cache.rows(np.array([0, 3, 8, 10]))] == [2, 2]  # the block is not read


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("change", [('"fake"', '"other"'), ("0.2", "0.3"), ("1e-30", "2e-30")], ids="-".join)
def test_a_changed_header_is_found(path: Path, change: tuple[str, str]) -> None:
    header, content = random_cache(rows=9)
    header = replace(header, provenance={**header.provenance, "precision": 1e-30})
    write_cache(path, header, [content])
    change_header(path, lambda text: text.replace(*change))
    assert not open_cache(path).header_is_whole()
    assert one_line(lambda: read_all(path)) == f"{path}: its header is damaged"


def test_lost_checksums_are_told(tmp_path: Path) -> None:
    cached(tmp_path / "fake.h5")
    with h5py.File(tmp_path / "fake.h5", "a") as file:
        del file["checksums"]
    assert "the dataset checksums is missing" in one_line(lambda: open_cache(tmp_path / "fake.h5"))
    for text in ("{}", '{"header": []}', '{"ids": ["0"]}'):
        with h5py.File(tmp_path / "fake.h5", "a") as file:
            file.pop("checksums", None)
            file["checksums"] = text
        assert "its header is damaged" in one_line(lambda: read_all(tmp_path / "fake.h5"))
    cached(tmp_path / "fake.parquet")
    (part,) = (tmp_path / "fake.parquet").iterdir()
    pq.write_table(pq.read_table(part), part)
    assert "its checksums are missing" in one_line(lambda: open_cache(tmp_path / "fake.parquet"))


def test_changed_class_names_beside_the_header_are_told(tmp_path: Path) -> None:
    cached(tmp_path / "fake.h5")
    with h5py.File(tmp_path / "fake.h5", "a") as file:
        file["classes"][1] = "other"  # type: ignore[index]
    assert "classes are not those of the header" in one_line(lambda: open_cache(tmp_path / "fake.h5"))


# A writer that fails


class Stopped(Exception):
    """What ends a writer in these tests."""


def stopping(content: CacheRows, after: int) -> Iterator[CacheRows]:
    for n, block in enumerate(blocks(content, 2)):
        if n == after:
            raise Stopped
        yield block


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("after", [0, 1, 5])
@pytest.mark.parametrize("replaced", [True, False])
def test_a_writer_that_stops_leaves_what_was_there(path: Path, after: int, replaced: bool) -> None:
    _, old = random_cache(rows=5, seed=1)
    if replaced:
        cached(path, rows=5, seed=1)
    header, content = random_cache(rows=20)
    with pytest.raises(Stopped):
        write_cache(path, header, stopping(content, after))
    if replaced:
        assert_same(whole(open_cache(path)), old)
    assert [p.name for p in path.parent.iterdir()] == ([path.name] if replaced else [])


@pytest.mark.parametrize("given_rows", [0, 4, 6, 9, 10])
def test_a_wrong_number_of_rows_is_refused_and_nothing_is_written(path: Path, given_rows: int) -> None:
    header, _ = random_cache(rows=7)
    given_blocks = list(blocks(random_cache(rows=given_rows)[1], 2)) if given_rows else []
    assert sum(map(len, given_blocks)) == given_rows
    found = one_line(lambda: write_cache(path, header, given_blocks))
    assert f"{path}: expected 7 rows, {given_rows} were given" in found
    assert list(path.parent.iterdir()) == []


def test_a_cache_replaces_another_whole(path: Path) -> None:
    cached(path, rows=20)
    cache, header, content = cached(path, rows=5, seed=2)
    assert cache.header == header
    assert_same(whole(cache), content)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@example(rows=1, classes=1, bad=1)
@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 20), classes=st.integers(1, 6), bad=st.integers(0, 3))
def test_the_fake_content_of_these_tests_is_consistent(rows: int, classes: int, bad: int) -> None:
    header, content = random_cache(rows, classes, bad=bad)
    assert content.truth is not None
    assert content.similarity.shape == (rows, header.flips, header.views, len(header.classes))
    assert ((content.observed == 1).sum(axis=1) == 1).all()
    assert (content.truth[content.observed == 1] == 1).all()
    np.testing.assert_array_equal(content.code, plain_codes(content, SETTINGS))
    assert_same(next(blocks(content, rows)), content)
    assert sum(len(block) for block in blocks(content, 3)) == rows
