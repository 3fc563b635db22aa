"""Labels of a cache's rows: the cache's own codes, the same for fewer rows, and a policy is shown no more than it may see."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import each

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.policies import Known, Labels, Policy, create_policy
from aevlp.pipeline.policies.labelling import label
from aevlp.pipeline.score_cache import CacheRows, ScoreCache, open_cache, reader, write_cache
from fakes import SETTINGS, random_cache

DAMP = {name: getattr(SETTINGS, name) for name in ("temperature", "eta", "threshold", "top_k", "negative_ratio")}
FUSED = {name: DAMP[name] for name in ("temperature", "eta")}
N = 23
ROW_BY_ROW = {
    "damp": DAMP,
    "global": DAMP,
    "vlpl": {"partial": 0.5},
    "threshold": {**FUSED, "thresholds": [0.2] * 5},
    "top-k": {**FUSED, "top_k": 2},
    "view-weights": {**{k: v for k, v in DAMP.items() if k != "eta"}, "weights": [1.0, 0, 0, 0, 0]},
    "oracle": {},
}


def cached(path: Path, **options: Any) -> tuple[ScoreCache, CacheRows]:
    header, content = random_cache(**{"rows": N, "storage": "float32", "bad": 3, **options})
    write_cache(path, header, [content])
    return open_cache(path), content


@pytest.fixture(params=["h5", "parquet"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> ScoreCache:
    return cached(tmp_path / f"fake.{request.param}")[0]


class Spy:
    """A policy that keeps what it was shown, and says of every class that it is there."""

    def __init__(self, *reads: str) -> None:
        self.reads = reads
        self.blocks: list[np.ndarray] = []

    def scores(self, similarity: np.ndarray, observed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.blocks.append(similarity)
        return similarity[:, 0] / 2 + 0.5, similarity[:, 1] / 2 + 0.5

    def __call__(self, known: Known) -> Labels:
        self.known = known
        return Labels(np.ones(known.final.shape, dtype=np.int8), np.ones(known.final.shape, dtype=np.float32))


ROWS = st.sets(st.integers(0, N - 1)).map(sorted).map(lambda rows: np.array(rows, dtype=np.int64))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=ROWS, epoch=st.sampled_from([None, 0, 1, 7]), seed=st.integers(0, 3), block=st.sampled_from([1, 900, 1 << 24])
)
def test_damp_of_some_rows_is_the_cache_s_own_codes_with_the_same_draws(
    cache: ScoreCache, rows: np.ndarray, epoch: int | None, seed: int, block: int
) -> None:
    expected = cache.codes(SETTINGS, epoch, seed)[rows]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reader, "BLOCK_BYTES", block)
        labels = label(cache, rows, create_policy("damp", **DAMP), epoch, seed)
    np.testing.assert_array_equal(labels.codes, expected)
    assert labels.codes.dtype == np.int8 and labels.scores.dtype == np.float32


@each(stores=["cosine", "embedding"], name=ROW_BY_ROW, epoch=[None, 4])
def test_fewer_rows_get_the_same_labels(tmp_path: Path, stores: str, name: str, epoch: int | None) -> None:
    cache, _ = cached(tmp_path / "fake.h5", stores=stores)
    policy, rows = create_policy(name, **ROW_BY_ROW[name]), np.array([1, 2, 8, 15, 22])
    everything, some = label(cache, np.arange(N), policy, epoch, 3), label(cache, rows, policy, epoch, 3)
    np.testing.assert_array_equal(some.codes, everything.codes[rows])
    np.testing.assert_allclose(some.scores, everything.scores[rows], rtol=1e-6)


def test_scores_are_made_of_the_mean_over_flips(tmp_path: Path) -> None:
    cache, content = cached(tmp_path / "fake.h5", bad=0)
    spy, rows = Spy(), np.array([0, 3, 20])
    label(cache, rows, spy)
    assert content.similarity is not None
    seen = content.similarity[rows].mean(axis=1)
    np.testing.assert_allclose(spy.known.final, seen[:, 0] / 2 + 0.5, rtol=1e-6)
    np.testing.assert_allclose(spy.known.ranking, seen[:, 1] / 2 + 0.5, rtol=1e-6)


@pytest.mark.filterwarnings("error")
def test_rows_that_are_not_ok_are_hidden_and_unknown(cache: ScoreCache) -> None:
    spy, ok = Spy("truth", "embedding"), cache.status == "ok"
    labels = label(cache, np.arange(N), spy)
    assert (~ok).sum() == 3
    assert (labels.codes[~ok] == 0).all() and (labels.scores[~ok] == 0).all()
    assert (labels.codes[ok] == 1).all() and (labels.scores[ok] == 1).all()
    np.testing.assert_array_equal(spy.known.observed, cache.observed[ok])
    np.testing.assert_array_equal(spy.known.truth, np.asarray(cache.truth)[ok])
    assert not any(np.isnan(values).any() for values in vars(spy.known).values() if values is not None)


def test_the_policy_knows_of_no_other_rows_and_no_other_cosines_are_read(
    cache: ScoreCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, asked = np.array([2, 3, 9, 14]), []
    read = cache._store.array

    def noted(name: str, rows: np.ndarray) -> np.ndarray:
        if name == "similarity":
            asked.extend(rows)
        return read(name, rows)

    monkeypatch.setattr(cache._store, "array", noted)
    monkeypatch.setattr(reader, "BLOCK_BYTES", 1000)
    spy = Spy()
    label(cache, rows, spy, epoch=1)
    seen = rows[cache.status[rows] == "ok"]
    assert asked == seen.tolist()
    np.testing.assert_array_equal(spy.known.observed, cache.observed[seen])


def test_blocks_are_no_larger_than_they_may_be(cache: ScoreCache, monkeypatch: pytest.MonkeyPatch) -> None:
    header = cache.header
    monkeypatch.setattr(reader, "BLOCK_BYTES", 4 * 4 * header.flips * header.views * len(header.classes))
    spy = Spy()
    label(cache, np.arange(N), spy)
    assert max(map(len, spy.blocks)) <= 4 and sum(map(len, spy.blocks)) == N - 3


def test_a_policy_gets_what_it_reads_and_nothing_else(cache: ScoreCache) -> None:
    for reads in ((), ("truth",), ("embedding",)):
        spy = Spy(*reads)
        label(cache, np.arange(N), spy)
        assert (spy.known.truth is not None, spy.known.embedding is not None) == (
            "truth" in reads,
            "embedding" in reads,
        )


@pytest.mark.parametrize("stores", ["cosine", "embedding"])
def test_embeddings_are_the_direction_of_the_mean_over_flips(tmp_path: Path, stores: str) -> None:
    cache, content = cached(tmp_path / "fake.h5", stores=stores, bad=0)
    spy, rows = Spy("embedding"), np.array([1, 5, 6])
    label(cache, rows, spy)
    stored = content.embedding if stores == "cosine" else np.asarray(content.view_embedding)[:, :, 0]
    assert stored is not None and spy.known.embedding is not None
    for found, flips in zip(spy.known.embedding, stored[rows].tolist(), strict=True):
        mean = [sum(flip[d] for flip in flips) / len(flips) for d in range(len(flips[0]))]
        np.testing.assert_allclose(found, np.array(mean) / np.sqrt(sum(m * m for m in mean)), rtol=1e-4)


def test_the_test_split_does_not_matter_to_labels_of_the_training_split(tmp_path: Path) -> None:
    """Policies that look at all images at once look at those that are to be labelled."""
    header, content = random_cache(rows=N, storage="float32", bad=0)
    test = np.array(content.split) == "test"
    observed = np.where(test[:, None], np.roll(content.observed, 1, axis=1), content.observed)
    similarity = np.where(test[:, None, None, None], -np.asarray(content.similarity), content.similarity)
    found = []
    for n, rows in enumerate((content, replace(content, observed=observed, similarity=similarity))):
        write_cache(tmp_path / f"{n}.h5", header, [rows])
        policies: list[Policy] = [
            create_policy("cap", **FUSED, expected_positives=1.5),
            create_policy("label-propagation", **DAMP),
        ]
        train = np.flatnonzero(~test)
        found.append([label(open_cache(tmp_path / f"{n}.h5"), train, policy).codes for policy in policies])
    np.testing.assert_array_equal(found[0], found[1])


def test_the_cache_s_own_codes_need_no_row_that_can_be_read(tmp_path: Path) -> None:
    cache, _ = cached(tmp_path / "fake.h5", rows=4, bad=4)
    for rows in (np.arange(4), np.array([], dtype=np.int64)):
        labels = label(cache, rows, create_policy("damp", **DAMP))
        assert labels.codes.shape == (len(rows), 5) and not labels.codes.any()


def test_truth_that_is_not_known_is_a_mistake(tmp_path: Path) -> None:
    cache, _ = cached(tmp_path / "fake.h5", has_truth=False)
    with pytest.raises(AevlpError, match=r"reads full labels, and .*fake\.h5 has none"):
        label(cache, np.arange(N), create_policy("oracle"))


@pytest.mark.parametrize("rows", [[2, 1], [1, 1], [3, 0, 3]])
def test_rows_out_of_order_are_a_mistake(cache: ScoreCache, rows: list[int]) -> None:
    with pytest.raises(AevlpError, match="must ascend"):
        label(cache, np.array(rows), create_policy("damp", **DAMP))
