"""aevlp cache append and retry: what is scored, what is kept, and that the result is what scoring everything gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, draw_blocks, stage_one, stage_two

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.score_cache import ScoreCache, open_cache
from aevlp.pipeline.score_cache.unfinished import parts_folder
from aevlp.pipeline.scoring.scorer import Scorer
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.pipeline.training.splits import splits
from aevlp.stages.caches import update
from aevlp.stages.caches.verify import find_faults
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan

TEXT = ("ids", "paths", "split", "status", "reason", "stamps")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Blocks that a test may change."""
    draw_blocks(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all images that are given to the scoring model, in order."""
    names: list[str] = []
    rows = Scorer.rows

    def noted(self: Scorer, images, batch, stamps, begun):
        names.extend(images.ids[batch.rows].tolist())
        return rows(self, images, batch, stamps, begun)

    monkeypatch.setattr(Scorer, "rows", noted)
    return names


def append_lines(data: Path, *lines: str) -> None:
    with (data / "labels.csv").open("a") as table:
        table.writelines(line + "\n" for line in lines)


def without_lines(data: Path, *names: str) -> None:
    """Take images out of the table."""
    table = data / "labels.csv"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(line for line in lines if line.split(",")[0] not in names) + "\n")


def assert_equal(found: ScoreCache, expected: ScoreCache, atol: float = 0) -> None:
    for name in TEXT:
        assert getattr(found, name).tolist() == getattr(expected, name).tolist(), name
    assert found.header.to_json() == expected.header.to_json()
    for name in ("observed", "truth"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("similarity", "embedding", "score"):
        mine, theirs = (getattr(cache, name)(slice(None)) for cache in (found, expected))
        np.testing.assert_allclose(mine, theirs, atol=atol, rtol=0)
    np.testing.assert_array_equal(found.code(slice(None)), expected.code(slice(None)))
    assert find_faults(found) == []


@pytest.mark.parametrize("suffix", ["h5", "parquet"])
@pytest.mark.parametrize("store", ["cosine", "embedding"])
def test_append_scores_new_images_alone_and_gives_what_scoring_all_gives(
    data: Path, tmp_path: Path, scored: list[str], suffix: str, store: str
) -> None:
    whole = (data / "labels.csv").read_text()
    # one in the middle of the training images, the last of them, and a test image: rows of both kinds interleave
    new = ["images/03.png", "images/11.png", "images/13.png"]
    without_lines(data, *new)
    options = {"storage": "float32", "store": store}
    path = stage_one(data, tmp_path / f"c.{suffix}", **options)
    before = {name: open_cache(path).similarity([row])[0] for row, name in enumerate(open_cache(path).ids.tolist())}
    (data / "labels.csv").write_text(whole)
    scored.clear()
    update.show(update.append(path, workers=0))
    assert scored == new
    cache = open_cache(path)
    for row, name in enumerate(cache.ids.tolist()):
        if name in before:
            np.testing.assert_array_equal(cache.similarity([row])[0], before[name])  # kept, not made anew
    assert_equal(cache, open_cache(stage_one(data, tmp_path / "all.h5", **options)), atol=1e-5)
    assert not parts_folder(path).exists()


def test_a_cache_has_a_log_beside_it_which_nothing_stumbles_over(data: Path, tmp_path: Path) -> None:
    whole = (data / "labels.csv").read_text()
    without_lines(data, "images/03.png")
    path = stage_one(data, tmp_path / "caches" / "c.h5")
    log = tmp_path / "caches" / "c.log.txt"
    first = log.read_text()
    assert "blocks: 15 images" in first and f"writing {path}" in first and f"{path}: 15 images scored" in first
    stage_one(data, path)  # nothing to do
    assert log.read_text() == first
    (data / "labels.csv").write_text(whole)
    update.append(path, workers=0, progress=False)
    assert log.read_text().startswith(first) and "16 images, 1 of 1 new or changed ones scored" in log.read_text()
    assert find_faults(open_cache(path)) == []
    assert call("verify", path) == call("inspect", path) == call("cache", "diff", path, path) == 0
    assert sorted(file.name for file in path.parent.iterdir()) == ["c.h5", "c.log.txt"]


def test_another_process_than_the_first_writes_no_log(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    stage_one(data, tmp_path / "c.h5")
    assert not (tmp_path / "c.log.txt").exists()


def test_append_with_nothing_new_says_so_and_changes_nothing(
    data: Path, tmp_path: Path, scored: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = stage_one(data, tmp_path / "c.h5")
    content = path.read_bytes()
    scored.clear()
    update.show(update.append(path, workers=0))
    assert "no image of blocks is new or has changed: nothing to do" in capsys.readouterr().out
    assert (scored, path.read_bytes()) == ([], content)


def test_retry_scores_failed_images_alone(data: Path, tmp_path: Path, scored: list[str]) -> None:
    files = [data / "images" / name for name in ("02.png", "05.png", "14.png")]
    whole = [file.read_bytes() for file in files]
    files[0].write_bytes(b"no image")
    files[1].unlink()
    files[2].write_bytes(whole[2][:200])
    path = stage_one(data, tmp_path / "c.h5", storage="float32")
    assert (open_cache(path).status != "ok").sum() == 3
    for file, content in zip(files[:2], whole[:2], strict=True):
        file.write_bytes(content)
    scored.clear()
    update.show(update.retry(path, workers=0))
    assert scored == ["images/02.png", "images/05.png", "images/14.png"]
    cache = open_cache(path)
    assert cache.ids[cache.status != "ok"].tolist() == ["images/14.png"]
    assert_equal(cache, open_cache(stage_one(data, tmp_path / "all.h5", storage="float32")), atol=1e-5)
    files[2].write_bytes(whole[2])
    update.show(update.retry(path, workers=0))
    assert (open_cache(path).status == "ok").all()
    assert_equal(open_cache(path), open_cache(stage_one(data, tmp_path / "both.h5", storage="float32")), atol=1e-5)


def test_an_interrupted_append_goes_on_and_stale_parts_are_no_obstacle(
    data: Path, tmp_path: Path, scored: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (data / "labels.csv").read_text()
    new = [f"images/{n:02d}.png" for n in (1, 4, 7, 9, 12)]
    without_lines(data, *new)
    path = stage_one(data, tmp_path / "c.h5")
    (data / "labels.csv").write_text(whole)
    scored.clear()

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(update, "write_cache", killed)
        with pytest.raises(KeyboardInterrupt):
            update.show(update.append(path, workers=0))
    assert scored == new and len(open_cache(path)) == 11
    with monkeypatch.context() as patch:  # killed between the new cache and the removal of its parts
        patch.setattr("aevlp.pipeline.scoring.parts.PartStore.remove", killed)
        with pytest.raises(KeyboardInterrupt):
            update.show(update.append(path, workers=0))
    assert scored == new and len(open_cache(path)) == 16  # nothing twice
    assert parts_folder(path).exists()
    (data / "images" / "06.png").rename(data / "images" / "elsewhere.png")
    (data / "images" / "elsewhere.png").rename(data / "images" / "06.png")
    update.show(update.append(path, workers=0))
    assert scored == new and not parts_folder(path).exists()


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda data: without_lines(data, "images/03.png"), ["1 image that blocks", "images/03.png", "--prune drops"]),
        (lambda data: (data / "images/03.png").unlink(), ["03.png was scored into", "is gone: bring it back"]),
        (
            lambda data: (data / "blocks.yaml").write_text(
                (data / "blocks.yaml").read_text().replace("temperature: 0.1", "temperature: 0.2")
            ),
            ["method.temperature: 0.2, not 0.1"],
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_cache_any_more_is_one_clear_line(data: Path, tmp_path: Path, change, words) -> None:
    path = stage_one(data, tmp_path / "c.h5")
    content = path.read_bytes()
    change(data)
    with pytest.raises(AevlpError) as error:
        update.show(update.append(path, workers=0))
    assert all(word in str(error.value) for word in words), error.value
    assert path.read_bytes() == content


def test_labels_of_now_are_taken_over_and_codes_follow(data: Path, tmp_path: Path) -> None:
    path = stage_one(data, tmp_path / "c.h5", storage="float32")
    table = data / "labels.csv"
    table.write_text(table.read_text().replace("images/01.png,train,green\n", "images/01.png,train,blue\n"))
    append_lines(data, "images/extra.png,test,red")
    (data / "images/extra.png").write_bytes((data / "images/00.png").read_bytes())
    update.show(update.append(path, workers=0))
    expected = open_cache(stage_one(data, tmp_path / "all.h5", storage="float32"))
    assert expected.truth is not None and expected.truth[1].tolist() == [0, 0, 1]
    assert_equal(open_cache(path), expected, atol=1e-5)


def test_labels_alone_are_taken_over_without_scoring(data: Path, tmp_path: Path, scored: list[str]) -> None:
    path = stage_one(data, tmp_path / "c.h5", storage="float32")
    table = data / "labels.csv"
    table.write_text(table.read_text().replace("images/01.png,train,green\n", "images/01.png,train,blue\n"))
    scored.clear()
    update.show(update.append(path, workers=0))
    assert scored == []
    assert_equal(open_cache(path), open_cache(stage_one(data, tmp_path / "all.h5", storage="float32")), atol=1e-5)


def test_images_that_have_changed_are_named_and_scored_again(
    data: Path, tmp_path: Path, scored: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    path = stage_one(data, tmp_path / "c.h5", storage="float32")
    (data / "images/05.png").write_bytes((data / "images/04.png").read_bytes())  # of another size
    content = (data / "images/07.png").read_bytes()
    (data / "images/07.png").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # of the same size
    with pytest.raises(AevlpError, match=r"1 image has another size than when scored.*05\.png; aevlp cache append"):
        stage_one(data, path, storage="float32")
    scored.clear()
    update.show(update.append(path, workers=0))
    assert scored == ["images/05.png"]
    capsys.readouterr()
    stage_one(data, path, storage="float32")
    err = capsys.readouterr().err
    assert "1 image was written anew since scored, with as many bytes" in err and "07.png" in err
    update.show(update.append(path, workers=0, changed=True))
    assert scored == ["images/05.png", "images/07.png"]
    assert_equal(open_cache(path), open_cache(stage_one(data, tmp_path / "all.h5", storage="float32")), atol=1e-5)


def test_an_image_that_was_missing_and_still_is_stays_a_row(data: Path, tmp_path: Path, scored: list[str]) -> None:
    append_lines(data, "images/gone.png,test,red")
    path = stage_one(data, tmp_path / "c.h5")
    append_lines(data, "images/extra.png,test,red")
    (data / "images/extra.png").write_bytes((data / "images/00.png").read_bytes())
    scored.clear()
    update.show(update.append(path, workers=0))
    assert scored == ["images/extra.png"]
    assert dict(zip(open_cache(path).ids.tolist(), open_cache(path).status.tolist(), strict=True))[
        "images/gone.png"
    ] == "missing"  # fmt: skip


# Images that the data set lists no more


GONE = {
    "a training image": ["images/03.png"],
    "a test image": ["images/13.png"],
    "the first and the last": ["images/00.png", "images/15.png"],
    "several": ["images/02.png", "images/05.png", "images/07.png", "images/14.png"],
}


def gone_but_slow(*slow: str) -> list[Any]:
    """Return all of GONE as parameters, some of them for the slow tests."""
    return [pytest.param(ids, id=name, marks=[pytest.mark.slow] * (name in slow)) for name, ids in GONE.items()]


@pytest.mark.parametrize("gone", gone_but_slow("a training image", "the first and the last"))
@pytest.mark.parametrize("new", [[], ["images/04.png", "images/12.png"]], ids=["nothing new", "and new ones"])
def test_prune_drops_the_rows_that_are_gone_and_gives_what_scoring_all_gives(
    data: Path, tmp_path: Path, scored: list[str], capsys: pytest.CaptureFixture[str], gone: list[str], new: list[str]
) -> None:
    whole = (data / "labels.csv").read_text()
    without_lines(data, *new)
    path = stage_one(data, tmp_path / "c.h5", storage="float32")
    (data / "labels.csv").write_text(whole)
    without_lines(data, *gone)
    for name in gone:
        (data / name).unlink()
    scored.clear()
    before = path.read_bytes()
    assert call("cache", "append", path, "--workers", 0) == 1
    said = capsys.readouterr().err
    assert (
        f"holds {len(gone)} image{'s' * (len(gone) > 1)} that blocks in {data} does not list, first '{gone[0]}'" in said
    )
    assert f"aevlp cache append {path} --prune drops their rows" in said and path.read_bytes() == before
    assert call("cache", "append", path, "--prune", "--workers", 0) == 0
    assert f"{len(gone)} dropped that blocks does not list any more" in capsys.readouterr().out
    assert scored == new
    assert_equal(open_cache(path), open_cache(stage_one(data, tmp_path / "all.h5", storage="float32")), atol=1e-5)
    assert call("cache", "append", path, "--prune", "--workers", 0) == 0
    assert "nothing to do" in capsys.readouterr().out


def test_prune_never_drops_everything(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stage_one(data, tmp_path / "c.h5")
    draw_blocks(tmp_path / "other")
    table = tmp_path / "other" / "labels.csv"
    table.write_text(table.read_text().replace("images/", "./images/"))
    before = path.read_bytes()
    assert call("cache", "append", path, "--prune", "--data-root", tmp_path / "other", "--workers", 0) == 1
    assert "lists none of the 16 images" in capsys.readouterr().err
    assert path.read_bytes() == before


def test_other_commands_name_the_way_to_drop_rows(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (data / "labels.csv").read_text()
    without_lines(data, "images/04.png")
    path = stage_one(data, tmp_path / "c.h5")
    (data / "labels.csv").write_text(whole)
    without_lines(data, "images/03.png", "images/07.png")
    with pytest.raises(AevlpError) as error:
        stage_one(data, path)
    assert "1 image is new, first 'images/04.png', 2 of its images are not listed any more, first" in str(error.value)
    assert f"aevlp cache append {path} --prune brings it up to date" in str(error.value)
    assert call("cache", "retry", path, "--workers", 0) == 1
    assert "--prune drops their rows" in capsys.readouterr().err
    assert call("verify", path) == 1
    assert "2 images are not listed in blocks (aevlp cache append --prune drops them)" in capsys.readouterr().err


@pytest.mark.parametrize("gone", gone_but_slow("a training image", "a test image", "the first and the last"))
def test_training_goes_on_without_what_is_gone(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], gone: list[str]
) -> None:
    path = stage_one(data, tmp_path / "c.h5")
    without_lines(data, *gone)
    for name in gone:
        (data / name).unlink()
    capsys.readouterr()
    run = stage_two(path, tmp_path / "run", loss="an", epochs=1, batch_size=16)
    said = capsys.readouterr().err
    assert said.count("does not list any more") == 1
    held = "1 image" if len(gone) == 1 else f"{len(gone)} images"
    assert f"holds {held} that blocks does not list any more, first '{gone[0]}': left out" in said
    cache = open_cache(path)
    rows, _ = RunFolder(run).load_logits()
    assert cache.ids[rows].tolist() == [name for name in cache.ids[cache.split == "test"].tolist() if name not in gone]
    trained = make_plan(TrainOptions(path, loss="an", epochs=1))
    everyone = splits(cache, trained.recipe["val_fraction"])
    for part, of_all in zip((trained.train, trained.val, trained.test), everyone, strict=True):
        assert cache.ids[part.rows].tolist() == [name for name in cache.ids[of_all.rows].tolist() if name not in gone]
    for split, part in (("val", trained.val), ("test", trained.test)):
        capsys.readouterr()
        assert call("evaluate", run, "--split", split, "--workers", 0, "--json") == 0
        assert json.loads(capsys.readouterr().out)["images"] == len(part.rows)


def test_training_refuses_what_has_changed_beside_what_is_gone(data: Path, tmp_path: Path) -> None:
    path = stage_one(data, tmp_path / "c.h5")
    whole = (data / "labels.csv").read_text()
    for old, new, words in (
        ("images/08.png,train,blue;red", "images/08.png,train,blue", "other labels or splits"),
        ("images/09.png,train,red", "images/09.png,train,blue", "other labels or splits"),
        ("images/11.png,train", "images/11.png,test", "other labels or splits"),
    ):
        assert old in whole
        (data / "labels.csv").write_text(whole.replace(old, new))
        without_lines(data, "images/03.png")
        with pytest.raises(AevlpError, match=words):
            stage_two(path, tmp_path / "run", loss="an", epochs=1)
    (data / "labels.csv").write_text(whole)
    without_lines(data, "images/03.png")
    (data / "images/05.png").write_bytes((data / "images/04.png").read_bytes())
    with pytest.raises(AevlpError, match="their names agree, their sizes do"):
        stage_two(path, tmp_path / "run", loss="an", epochs=1)


def test_a_run_from_before_is_not_resumed_without_what_is_gone(data: Path, tmp_path: Path) -> None:
    path = stage_one(data, tmp_path / "c.h5")
    run = stage_two(path, tmp_path / "run", loss="an", epochs=1, batch_size=16)
    without_lines(data, "images/03.png")
    with pytest.raises(
        AevlpError, match=r"was started differently \(this run has without: \['images/03.png'\], not None"
    ):
        stage_two(path, run, loss="an", epochs=1, batch_size=16, resume=True)


def test_the_commands(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stage_one(data, tmp_path / "c.h5")
    assert call("cache", "retry", path, "--workers", 0) == 0
    assert "no image had failed: nothing to do" in capsys.readouterr().out
    append_lines(data, "images/gone.png,test,red")
    assert call("cache", "append", path, "--workers", 0) == 0
    assert "17 images, 0 of 1 new or changed ones scored" in capsys.readouterr().out
    assert call("cache", "append", tmp_path / "nothing.h5") == 1
    assert "no cache" in capsys.readouterr().err
