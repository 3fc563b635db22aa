"""Labels by tasks of a Ray cluster: the shards of one process, and what a task refuses as one line."""

from pathlib import Path

import pytest
from refusals import one_line
from test_onnx_model import mean_colours
from test_predict import pictures
from test_predict_shards import content

import aevlp
from aevlp.stages import ray_cluster

pytest.importorskip("ray")


@pytest.mark.slow
@pytest.mark.process
def test_tasks_write_the_shards_of_one_process(tmp_path: Path) -> None:
    model = mean_colours(tmp_path / "model.onnx")
    pictures(tmp_path / "new", 20)
    given = {"shard_images": 3, "workers": 1}
    whole = aevlp.predict(model, [str(tmp_path / "new")], output=tmp_path / "whole", **given)
    found = aevlp.predict(model, [str(tmp_path / "new")], output=tmp_path / "ray", engine="ray", actors=2, **given)
    assert (found.images, found.labelled, found.shards) == (whole.images, whole.labelled, whole.shards) == (20, 20, 7)
    assert content(tmp_path / "ray") == content(tmp_path / "whole")
    with one_line("--actors"):
        (tmp_path / "ray" / "part-000002.parquet").unlink()
        aevlp.predict(model, [str(tmp_path / "new")], output=tmp_path / "ray", engine="ray", actors=999, **given)


def test_ray_is_for_shards(tmp_path: Path) -> None:
    model = mean_colours(tmp_path / "model.onnx")
    pictures(tmp_path / "new", 2)
    with one_line("--engine ray"):
        aevlp.predict(model, [str(tmp_path / "new")], engine="ray")


def test_ray_that_is_not_installed_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = mean_colours(tmp_path / "model.onnx")
    pictures(tmp_path / "new", 2)
    monkeypatch.setattr(ray_cluster, "find_spec", lambda name: None)
    with one_line("--engine ray needs Ray: pip install"):
        aevlp.predict(model, [str(tmp_path / "new")], output=tmp_path / "labels", engine="ray")
    assert not (tmp_path / "labels").exists()
