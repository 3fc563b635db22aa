"""A file is looked at once where that is enough: counted, and compared with looking each time."""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_blocks, stage_one, stage_two
from hypothesis import given
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files import file_versions, stamps
from aevlp.pipeline.files.file_versions import FileVersions
from aevlp.pipeline.scoring import shards
from aevlp.pipeline.scoring.scorer import Scorer


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each picture of a data set is asked for its size and time of change."""
    counted: Counter[str] = Counter()
    ask = stamps._of_file

    def noted(path: Path) -> tuple[int, str] | None:
        counted[path.name] += path.suffix == ".png"
        return ask(path)

    monkeypatch.setattr(stamps, "_of_file", noted)
    return counted


def test_a_run_looks_once_and_each_shard_before_and_after_it_is_scored(tmp_path: Path, looks: Counter[str]) -> None:
    draw_blocks(tmp_path / "data")
    looks.clear()
    cache = stage_one(tmp_path / "data", tmp_path / "x.h5", shard_size=4)
    assert len(looks) == 16 and set(looks.values()) == {3}
    looks.clear()
    stage_one(tmp_path / "data", cache)  # nothing to do
    assert len(looks) == 16 and set(looks.values()) == {1}
    looks.clear()
    stage_two(cache, tmp_path / "run", manifest=tmp_path / "data" / "blocks.yaml", backbone="linear", epochs=1)
    assert set(looks.values()) <= {1}


def test_an_image_that_changes_while_it_is_scored_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw_blocks(tmp_path / "data")
    image, rows = tmp_path / "data" / "images" / "05.png", Scorer.rows

    def touched(self: Scorer, *arguments: object) -> object:
        os.utime(image, ns=(5, 5))
        return rows(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Scorer, "rows", touched)
    with pytest.raises(AevlpError, match=r"05\.png changed while it was scored: run the same command again"):
        stage_one(tmp_path / "data", tmp_path / "x.h5")


def test_one_that_changes_between_the_plan_and_its_shard_is_scored_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw_blocks(tmp_path / "data")
    image, claimed = tmp_path / "data" / "images" / "05.png", shards._Claims.batches

    def touched(self: shards._Claims, size: int) -> object:
        os.utime(image, ns=(5, 5))
        return claimed(self, size)

    monkeypatch.setattr(shards._Claims, "batches", touched)
    stage_one(tmp_path / "data", tmp_path / "x.h5")
    from aevlp.pipeline.score_cache import open_cache

    assert open_cache(tmp_path / "x.h5").stamps[5] == f"{image.stat().st_size} 5"


IDENTITIES = st.none() | st.tuples(
    st.integers(0, 2**50), st.integers(0, 2**63).map(str) | st.sampled_from(["-5", "007", "etag", ""])
)


@given(st.lists(IDENTITIES, min_size=1), st.data())
def test_what_was_found_is_given_again_of_all_and_of_some(found: list, data: st.DataObject) -> None:
    paths = [Path(str(n)) for n in range(len(found))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(file_versions, "file_identity", lambda path: found[int(str(path))])
        versions = FileVersions(paths)
        assert [versions.identity(row) for row in range(len(found))] == found
    assert versions.sizes == [identity and identity[0] for identity in found]
    rows = data.draw(st.lists(st.integers(0, len(found) - 1)))
    some = versions.take(np.array(rows, dtype=np.int64))
    assert [some.identity(n) for n in range(len(rows))] == [found[row] for row in rows]
    for row, identity in enumerate(found):
        assert versions.is_now(row, stamps.stamp_of_identity(identity))
        assert not versions.is_now(row, "1 another")
