"""Labels of many images in shards: each image once, whatever was killed or raced, and one set of settings a folder."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import call
from refusals import one_line
from test_onnx_model import mean_colours
from test_predict import by_hand, pictures

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.stages.prediction.shard_folder import ABOUT, ShardFolder
from aevlp.stages.prediction.sharding import PredictedShards

COMMAND = [sys.executable, "-m", "aevlp.stages"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return mean_colours(tmp_path / "model.onnx")


def labels(model: Path, images: Path | str, output: Path, size: int = 4, **more: object) -> PredictedShards:
    found = aevlp.predict(model, [str(images)], output=output, shard_images=size, **more)  # type: ignore[arg-type]
    assert isinstance(found, PredictedShards)
    return found


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_shards_hold_each_image_once_in_order_with_its_probabilities(model: Path, tmp_path: Path) -> None:
    paths = pictures(tmp_path / "new", 10)
    paths[5].write_bytes(b"no picture")
    found = labels(model, tmp_path / "new", tmp_path / "labels", threshold=0.5)
    assert (found.images, found.labelled, found.shards) == (10, 9, 3) and "05.png" in found.reasons[0]
    assert sorted(content(tmp_path / "labels")) == ["_settings.json", *(f"part-{n:06d}.parquet" for n in range(3))]
    tables = [pq.read_table(file) for file in sorted((tmp_path / "labels").glob("*.parquet"))]
    assert [len(table) for table in tables] == [4, 4, 2]
    rows = [row for table in tables for row in table.to_pylist()]
    assert [row["image"] for row in rows] == list(map(str, paths))
    for path, row in zip(paths, rows, strict=True):
        values = [row[f"p({name})"] for name in found.classes]
        if path is paths[5]:
            assert row["status"] == "unreadable" and row["labels"] is None and values == [None] * 3
        else:
            np.testing.assert_allclose(values, by_hand(path), atol=1e-5)
            assert row["labels"] == [name for name, p in zip(found.classes, by_hand(path), strict=True) if p >= 0.5]
    assert all(b'"model"' in table.schema.metadata[ABOUT] for table in tables)


def test_labels_alone_hold_no_probabilities(model: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "new")
    labels(model, tmp_path / "new", tmp_path / "labels", write="labels")
    table = pq.read_table(tmp_path / "labels" / "part-000000.parquet")
    assert table.column_names == ["image", "status", "labels", "reason"]


def test_what_is_there_is_kept_and_what_is_missing_is_made_alike(model: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "new", 10)
    labels(model, tmp_path / "new", tmp_path / "labels")
    whole = content(tmp_path / "labels")
    kept = (tmp_path / "labels" / "part-000000.parquet").stat().st_ino
    (tmp_path / "labels" / "part-000001.parquet").unlink()
    labels(model, tmp_path / "new", tmp_path / "labels")
    assert content(tmp_path / "labels") == whole
    assert (tmp_path / "labels" / "part-000000.parquet").stat().st_ino == kept


def test_what_a_killed_process_had_begun_to_write_is_removed(model: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "new", 10)
    labels(model, tmp_path / "new", tmp_path / "whole")
    begun = tmp_path / "labels"
    begun.mkdir()
    (begun / "._settings.json.1.tmp").write_text("{")
    labels(model, tmp_path / "new", begun)
    assert content(begun) == content(tmp_path / "whole")
    (begun / "part-000001.parquet").rename(begun / ".part-000001.parquet.1.tmp")
    labels(model, tmp_path / "new", begun)
    assert content(begun) == content(tmp_path / "whole")


def test_a_folder_of_other_settings_is_refused_with_what_differs(model: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "new")
    labels(model, tmp_path / "new", tmp_path / "labels")
    for more, said in (
        ({"threshold": 0.3}, "thresholds"),
        ({"size": 3}, "shard_images"),
        ({"write": "labels"}, "write"),
    ):
        with one_line(said):
            labels(model, tmp_path / "new", tmp_path / "labels", **more)  # type: ignore[arg-type]
    (tmp_path / "new" / "00.png").unlink()
    with one_line("another list of images"):
        labels(model, tmp_path / "new", tmp_path / "labels")


def test_an_image_deleted_meanwhile_is_missing_in_its_row(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = pictures(tmp_path / "new", 6)
    publish = ShardFolder.publish
    monkeypatch.setattr(ShardFolder, "publish", lambda *given: (publish(*given), paths[5].unlink(missing_ok=True))[0])
    assert labels(model, tmp_path / "new", tmp_path / "labels").labelled == 5
    last = pq.read_table(tmp_path / "labels" / "part-000001.parquet").to_pylist()[-1]
    assert last["status"] == "missing"


def test_what_cannot_be_a_folder_of_shards_is_refused(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures(tmp_path / "new")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with one_line("holds other files"):
        labels(model, tmp_path / "new", tmp_path / "mine")
    (tmp_path / "file").write_text("mine")
    with one_line("is a file"):
        labels(model, tmp_path / "new", tmp_path / "file")
    monkeypatch.chdir(tmp_path / "mine")
    for output in (".", "./", "", ".."):
        with one_line("holds other files"):
            labels(model, tmp_path / "new", Path(output))
    with one_line("root of the file system"):
        labels(model, tmp_path / "new", Path("/"))
    with one_line("--write labels"):
        aevlp.predict(model, [str(tmp_path / "new")], write="labels")
    with one_line("--shard-images"):
        aevlp.predict(model, [str(tmp_path / "new")], shard_images=4)
    for ray in ({"actors": 2}, {"gpus": 0.5}):
        with one_line("pass --engine ray too"):
            labels(model, tmp_path / "new", tmp_path / "labels", **ray)  # type: ignore[arg-type]
    monkeypatch.setenv("WORLD_SIZE", "2")
    with one_line("2 processes"):
        aevlp.predict(model, [str(tmp_path / "new")])


def test_a_damaged_shard_is_named(model: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "new")
    labels(model, tmp_path / "new", tmp_path / "labels")
    part = tmp_path / "labels" / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:-20])
    with one_line("part-000001.parquet cannot be read"):
        labels(model, tmp_path / "new", tmp_path / "labels")


def test_a_full_disk_leaves_what_was_finished(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "new", 8)
    write, calls = pq.write_table, list[int]()

    def full(*given: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        write(*given)

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(AevlpError, match="No space left"):
        labels(model, tmp_path / "new", tmp_path / "labels")
    assert sorted(f.name for f in (tmp_path / "labels").glob("*part*")) == ["part-000000.parquet"]
    assert labels(model, tmp_path / "new", tmp_path / "labels").labelled == 8


def test_none_of_the_images_can_be_read(model: Path, tmp_path: Path) -> None:
    for path in pictures(tmp_path / "new"):
        path.write_bytes(b"")
    with one_line("no image of 5"):
        labels(model, tmp_path / "new", tmp_path / "labels")


def started(model: Path, images: Path, output: Path, **environment: str) -> subprocess.Popen[str]:
    given = [str(model), str(images), "--output", str(output), "--shard-images", "8", "--workers", "1"]
    return subprocess.Popen(
        [*COMMAND, "predict", *given], stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def linked(folder: Path, count: int) -> Path:
    """Make a folder of `count` links to a few pictures."""
    paths = pictures(folder.parent / "originals", 7)
    folder.mkdir()
    for n in range(count):
        (folder / f"{n:06d}.png").hardlink_to(paths[n % 7])
    return folder


@pytest.mark.slow
@pytest.mark.process
def test_a_killed_and_resumed_run_writes_the_bytes_of_one_run(model: Path, tmp_path: Path) -> None:
    images = linked(tmp_path / "many", 3000)
    expected = labels(model, images, tmp_path / "whole", 8)
    assert expected.labelled == 3000
    killed = 0
    for kill in range(4):
        process = started(model, images, tmp_path / "labels")
        there, until = len(list((tmp_path / "labels").glob("part-*.parquet"))), time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            if len(list((tmp_path / "labels").glob("part-*.parquet"))) > there + 20:
                process.send_signal(signal.SIGTERM if kill == 0 else signal.SIGKILL)
                killed += 1
                break
            time.sleep(0.005)
        said = process.communicate()[1]
        if kill == 0:
            assert process.returncode == 130 and "are kept" in said and "the same command resumes" in said
    assert killed >= 2
    assert started(model, images, tmp_path / "labels").wait() == 0
    assert content(tmp_path / "labels") == content(tmp_path / "whole")


@pytest.mark.slow
@pytest.mark.process
def test_processes_share_the_shards(model: Path, tmp_path: Path) -> None:
    images = linked(tmp_path / "many", 400)
    labels(model, images, tmp_path / "whole", 8)
    ranks = [{"RANK": str(n), "WORLD_SIZE": "2", "LOCAL_RANK": str(n)} for n in range(2)]
    processes = [started(model, images, tmp_path / "labels", **rank) for rank in ranks]
    assert [process.wait() for process in processes] == [0, 0]
    found, whole = content(tmp_path / "labels"), content(tmp_path / "whole")
    assert {name: found[name] for name in whole} == whole


def test_the_command_says_where_the_labels_are(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(tmp_path / "new")
    assert call("predict", model, tmp_path / "new", "--output", tmp_path / "labels", "--shard-images", 2) == 0
    assert "5 images labelled, 3 shards" in capsys.readouterr().err
