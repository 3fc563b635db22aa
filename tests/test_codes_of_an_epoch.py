"""What makes the codes of an epoch fast changes no bit of them: whatever is read together, worked on together or asked for."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from aevlp.pipeline.labels import damp as pseudo_labels
from aevlp.pipeline.labels.damp import DampSettings, damp_scores, lowest
from aevlp.pipeline.score_cache import ScoreCache, hdf5, open_cache, parquet, reader, write_cache
from aevlp.pipeline.score_cache.numbers import single
from fakes import SETTINGS, blocks, random_cache

SURE = DampSettings(temperature=0.01, eta=0.3, threshold=0.2, top_k=3, negative_ratio=0.2)


@settings(max_examples=60, deadline=None)
@given(
    images=st.integers(1, 40),
    views=st.sampled_from([1, 2, 5, 17]),
    classes=st.sampled_from([1, 2, 3, 20, 150]),
    dtype=st.sampled_from(["float32", "float64"]),
    block=st.sampled_from([1, 2, 3, 16, 17, 64]),
    seed=st.integers(0, 2**32 - 1),
    data=st.data(),
)
def test_the_scores_of_an_image_have_the_same_bits_whatever_stands_beside_it(
    images: int, views: int, classes: int, dtype: str, block: int, seed: int, data: st.DataObject
) -> None:
    random = np.random.default_rng(seed)
    similarity = random.normal(0.2, 0.05, (images, views, classes)).astype(dtype)
    observed = random.integers(-1, 2, (images, classes)).astype(np.int8)
    some = data.draw(st.lists(st.integers(0, images - 1), min_size=1, max_size=images))
    together = damp_scores(similarity, observed, SURE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pseudo_labels, "BLOCK_BYTES", 1)
        patch.setattr(pseudo_labels, "LEAST_IMAGES", block)
        apart = damp_scores(similarity[some], observed[some], SURE)
    for expected, found in zip(together, apart, strict=True):
        np.testing.assert_array_equal(found, expected[some])


TIED = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@given(
    values=arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=TIED | st.just(np.nan)),
    count=st.integers(-1, 10),
)
def test_the_lowest_of_each_row_are_those_that_a_stable_sort_puts_first(values: np.ndarray, count: int) -> None:
    expected = np.zeros(values.shape, dtype=bool)
    first = np.argsort(values, axis=1, kind="stable")[:, : max(count, 0)]
    np.put_along_axis(expected, first, True, axis=1)
    np.testing.assert_array_equal(lowest(values, count), expected)


def test_every_half_precision_number_becomes_the_same_single() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)]
    for values in (every, finite, finite.reshape(2, -1, 2)[:, ::3], every[:0]):
        found = single(values)
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, values.astype(np.float32))
        np.testing.assert_array_equal(np.signbit(found), np.signbit(values))


N = 60


@pytest.fixture(scope="module", params=["h5", "parquet"])
def cache(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ScoreCache:
    """A cache of many chunks, or of several files and row groups."""
    header, content = random_cache(rows=N, bad=5)
    path = tmp_path_factory.mktemp("epoch") / f"fake.{request.param}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5, "CHUNK_BYTES", 3 * 2 * 2 * 5 * 5)  # three rows of cosines
        for module in (hdf5, parquet, reader):
            patch.setattr(module, "ROWS_A_BLOCK", 7)
        patch.setattr(parquet, "ROWS_A_FILE", 14)
        write_cache(path, header, blocks(content, 11))
    return open_cache(path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.integers(0, N - 1), max_size=N), chunks=st.sampled_from([1, 4]))
def test_rows_in_any_order_and_more_than_once_are_those_of_the_whole(
    cache: ScoreCache, rows: list[int], chunks: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hdf5, "CHUNKS_A_READ", chunks)
        for read in (cache.similarity, cache.embedding, cache.code):
            np.testing.assert_array_equal(read(rows), read(slice(None))[rows])


@pytest.mark.parametrize("epoch", [None, 3])
def test_the_cosines_of_a_pass_are_the_rows_own(
    cache: ScoreCache, epoch: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = cache.similarity(slice(None))
    draws = np.random.default_rng([2, epoch or 0]).random((N, cache.header.views))
    flip = (draws * cache.header.flips).astype(int)
    for size in (1, 1000, 1 << 20):
        monkeypatch.setattr(reader, "BLOCK_BYTES", size)
        monkeypatch.setattr(reader, "PIECE_BYTES", size // 3)
        monkeypatch.setattr(reader, "LEAST_IMAGES", 1)
        seen: list[int] = []
        for numbers, cosines in cache.views(None, epoch, seed=2):
            for row, found in zip(numbers, cosines, strict=True):
                drawn = [stored[row, flip[row, view], view] for view in range(cache.header.views)]
                np.testing.assert_array_equal(found, stored[row].mean(axis=0) if epoch is None else drawn)
            seen += numbers.tolist()
        assert seen == np.flatnonzero(cache.status == "ok").tolist()


def test_codes_of_more_images_take_no_more_memory_than_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1 << 16)
    monkeypatch.setattr(reader, "PIECE_BYTES", 1 << 15)
    held = []
    for rows in (2000, 8000):
        header, content = random_cache(rows=rows)
        write_cache(tmp_path / f"{rows}.h5", header, [content])
        cache = open_cache(tmp_path / f"{rows}.h5")
        cache.codes(SETTINGS, 0)  # labels and status, kept from then on, are there
        tracemalloc.start()
        cache.codes(SETTINGS, 1)
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    more = (held[1] - held[0]) / 6000  # bytes a row: the codes, its number and whether it is "ok"; its cosines are 100
    assert more < 5 + 32
