"""Stage one end to end: what it writes, what it refuses, and that its cosines are those of a plain loop."""

import hashlib
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from conftest import draw_blocks, stage_one, without_logs
from plain_cosines import plain_cosines

from aevlp.pipeline.clip.encoder import ClipEncoder, ClipSource
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.damp import damp_codes, damp_scores
from aevlp.pipeline.score_cache import open_cache, write_cache
from aevlp.stages.caches.inspect import cached_settings
from aevlp.stages.caches.verify import find_faults
from aevlp.stages.stage_one.options import PseudolabelOptions
from aevlp.stages.stage_one.plan import _note_unpublished_clip
from fakes import random_cache


def test_cosines_equal_a_plain_loop(blocks: Path, cache_path: Path) -> None:
    cache = open_cache(cache_path)
    for row in (0, 5, len(cache) - 1):
        plain = plain_cosines(blocks, str(cache.paths[row]), cache.prompts, views=2)
        np.testing.assert_allclose(cache.similarity([row])[0], plain, atol=1e-5)


@pytest.mark.parametrize("batch_size, workers", [(1, 0), (5, 0), pytest.param(16, 2, marks=pytest.mark.process)])
def test_batches_and_workers_do_not_matter(
    blocks: Path, cache_path: Path, tmp_path: Path, batch_size: int, workers: int
) -> None:
    other = open_cache(stage_one(blocks, tmp_path / "x.h5", storage="float32", batch_size=batch_size, workers=workers))
    mine = open_cache(cache_path)
    assert other.ids.tolist() == mine.ids.tolist()
    np.testing.assert_allclose(other.similarity(slice(None)), mine.similarity(slice(None)), atol=1e-5)
    np.testing.assert_array_equal(other.code(slice(None)), mine.code(slice(None)))


def test_cache_says_what_it_is(blocks: Path, cache_path: Path) -> None:
    cache = open_cache(cache_path)
    assert cache.classes == ["red", "green", "blue"]
    assert cache.prompts == ["a photo of a red.", "a photo of a green.", "a photo of a blue."]
    assert cache.split.tolist() == ["train"] * 12 + ["test"] * 4
    assert set(cache.status) == {"ok"}
    assert cache.truth is not None and cache.truth.sum() == 24
    np.testing.assert_array_equal(cache.observed.sum(axis=1), 1)
    assert (cache.truth[cache.observed == 1] == 1).all()
    made = cache.provenance
    assert made["method"] == {
        "grid": 2, "temperature": 0.1, "eta": 0.1, "threshold": 0.2, "top_k": 2, "negative_ratio": 0.34, "compat": "paper",
        "half": False,
    }  # fmt: skip
    assert made["prompt"] == ["a photo of a {}."]
    assert (made["text_graph"], made["simulate"]) == ("none", {"regime": "single-positive", "seed": 1200})
    table = hashlib.sha256((blocks / "labels.csv").read_bytes()).hexdigest()
    assert made["dataset"]["label_files"] == {"labels.csv": table}
    assert made["activation"] == "gelu" and len(made["weights_sha256"]) == 64
    assert torch.__version__.startswith(made["versions"]["torch"])
    assert find_faults(cache) == []


def test_the_caches_of_other_tests_say_as_much_as_a_real_one(cache_path: Path) -> None:
    made, fake = open_cache(cache_path).provenance, random_cache()[0].provenance
    for key in ("dataset", "clip", "method", "pixel_statistics"):
        assert set(fake[key]) | {"compat"} == set(made[key]) | {"compat"}
    assert {key: type(value) for key, value in fake.items()} == {key: type(value) for key, value in made.items()}


def test_stored_scores_and_codes_are_those_of_the_stored_cosines(cache_path: Path) -> None:
    cache = open_cache(cache_path)
    settings = cached_settings(cache)
    mean = cache.similarity(slice(None)).mean(axis=1)
    np.testing.assert_array_equal(cache.code(slice(None)), damp_codes(mean, cache.observed, settings))
    np.testing.assert_allclose(cache.score(slice(None)), damp_scores(mean, cache.observed, settings)[0], rtol=1e-6)
    np.testing.assert_array_equal(cache.code(slice(None)), cache.codes(settings))


def test_embeddings_are_unit_vectors_that_give_the_whole_images_cosines(blocks: Path, cache_path: Path) -> None:
    cache = open_cache(cache_path)
    encoder = ClipEncoder(ClipSource(str(blocks / "tiny-clip.json"), "random"), torch.device("cpu"))
    embedding = cache.embedding(slice(None))
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=-1), 1, atol=1e-5)
    text = encoder.encode_text(cache.prompts)
    whole = embedding @ (text / np.linalg.norm(text, axis=1, keepdims=True)).T
    np.testing.assert_allclose(whole, cache.similarity(slice(None))[:, :, 0], atol=1e-5)


def manifest_with(folder: Path, line: str) -> Path:
    """Draw blocks whose manifest has another line; return their folder."""
    draw_blocks(folder)
    manifest = folder / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("format: table", f"format: table\n    {line}"))
    return folder


def test_several_templates_and_synonyms_are_averaged(tmp_path: Path) -> None:
    folder = manifest_with(
        tmp_path / "data",
        "prompt: ['a photo of a {}.', '{}']\n    synonyms: {red: [crimson]}\n    natural_names: {blue: sky blue}",
    )
    cache = open_cache(stage_one(folder, tmp_path / "c.h5", storage="float32"))
    sentences = [
        ["a photo of a red.", "red", "a photo of a crimson.", "crimson"],
        ["a photo of a green.", "green"],
        ["a photo of a sky blue.", "sky blue"],
    ]
    assert cache.prompts == [" | ".join(of_class) for of_class in sentences]
    assert cache.classes == ["red", "green", "blue"]
    assert cache.provenance["prompt"] == ["a photo of a {}.", "{}"]
    encoder = ClipEncoder(ClipSource(str(folder / "tiny-clip.json"), "random"), torch.device("cpu"))
    with torch.no_grad():
        towers = [encoder.model.encode_text(open_clip.get_tokenizer("tiny-clip")(s), normalize=True) for s in sentences]
    means = np.array([tower.numpy().mean(axis=0) for tower in towers])
    whole = cache.embedding(slice(None)) @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    np.testing.assert_allclose(cache.similarity(slice(None))[:, :, 0], whole, atol=1e-5)

    published = open_cache(stage_one(folder, tmp_path / "p.h5", compat="published"))  # has neither
    assert published.prompts == [f"a photo of a {name}. | {name}" for name in cache.classes]


def test_words_for_a_class_that_is_not_there_are_refused_before_any_model_is_loaded(tmp_path: Path) -> None:
    folder = manifest_with(tmp_path / "data", "synonyms: {rod: [crimson]}")
    (folder / "tiny-clip.json").unlink()
    with pytest.raises(AevlpError, match="unknown class in synonyms 'rod': known are red, "):
        stage_one(folder, tmp_path / "c.h5")


def test_published_rules_change_the_pixel_statistics_and_the_negatives(blocks: Path, tmp_path: Path) -> None:
    cache = open_cache(stage_one(blocks, tmp_path / "p.h5", storage="float32", compat="published"))
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    plain = plain_cosines(blocks, str(cache.paths[2]), cache.prompts, 2, mean, std)
    np.testing.assert_allclose(cache.similarity([2])[0], plain, atol=1e-5)
    assert set(np.unique(cache.code(slice(None)))) <= {0, 1}


def test_one_bad_image_is_a_row_with_a_reason(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    draw_blocks(tmp_path / "data")
    images = tmp_path / "data" / "images"
    (images / "01.png").write_bytes(b"")
    (images / "03.png").unlink()
    whole = (images / "05.png").read_bytes()
    (images / "05.png").write_bytes(whole[: len(whole) // 2])
    cache = open_cache(stage_one(tmp_path / "data", tmp_path / "c.h5"))
    status = dict(zip(cache.ids.tolist(), cache.status.tolist(), strict=True))
    bad = {"images/01.png": "unreadable", "images/03.png": "missing", "images/05.png": "unreadable"}
    assert {name: word for name, word in status.items() if word != "ok"} == bad
    rows = cache.status != "ok"
    assert np.isnan(cache.similarity(rows)).all() and not np.isnan(cache.similarity(~rows)).any()
    assert (cache.code(rows) == 0).all()
    assert "empty" in str(cache.reason[cache.ids == "images/01.png"][0])
    assert find_faults(cache) == []
    printed = capsys.readouterr().out
    assert "13 images scored" in printed and "2 images unreadable" in printed and "1 image missing" in printed


def test_strict_names_the_first_bad_file_and_the_count_and_writes_nothing(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data")
    for name in ("01.png", "13.png"):
        (tmp_path / "data" / "images" / name).write_bytes(b"no image")
    said = r"2 of 16 images cannot be read, first .*01\.png.*13\.png.*; --strict refuses, no cache was written"
    with pytest.raises(AevlpError, match=said):
        stage_one(tmp_path / "data", tmp_path / "c.h5", strict=True)
    assert without_logs(tmp_path) == ["c.h5.parts", "data"]
    assert not list((tmp_path / "c.h5.parts").glob("part-*"))  # the only shard has bad images in it
    cache = open_cache(stage_one(tmp_path / "data", tmp_path / "c.h5"))  # as after all
    assert (cache.status != "ok").sum() == 2 and not (tmp_path / "c.h5.parts").exists()


def test_no_readable_image_is_an_error(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data", 2, 1)
    for path in (tmp_path / "data" / "images").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(AevlpError, match="none of the 3 images can be read"):
        stage_one(tmp_path / "data", tmp_path / "c.h5")
    assert not (tmp_path / "c.h5").exists()


def test_the_same_command_again_does_nothing_and_another_is_refused(blocks: Path, tmp_path: Path) -> None:
    path = stage_one(blocks, tmp_path / "c.h5")
    before = path.read_bytes()
    stage_one(blocks, path)
    assert path.read_bytes() == before
    with pytest.raises(AevlpError, match=r"grid: 3, not 2.*--restart"):
        stage_one(blocks, path, grid=3)
    with pytest.raises(AevlpError, match="images: 3, not 16"):
        stage_one(blocks, path, limit=3)
    assert path.read_bytes() == before
    stage_one(blocks, path, grid=3, restart=True, yes=True)
    assert open_cache(path).header.views == 10


@pytest.mark.parametrize(
    "answer, deleted",
    [
        ("y\n", True),
        (" YES \n", True),
        ("n\n", False),
        ("\n", False),
        ("", False),
        ("yesterday\n", False),
        (None, False),
    ],
)
def test_restart_asks_before_it_deletes(
    blocks: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
    answer: str | None,
    deleted: bool,
) -> None:
    path = stage_one(blocks, tmp_path / "c.h5")
    before = path.read_bytes()
    monkeypatch.setattr(sys, "stdin", None if answer is None else io.StringIO(answer))  # None: it is closed
    if deleted:
        stage_one(blocks, path, grid=3, restart=True)
        assert open_cache(path).header.views == 10
    else:
        with pytest.raises(AevlpError, match=r"nothing was deleted: answer y, or pass --yes, to delete .*c\.h5 and"):
            stage_one(blocks, path, grid=3, restart=True)
        assert path.read_bytes() == before
    assert f"Delete {path}? [y/N] " in capsys.readouterr().err


def test_restart_asks_nothing_where_there_is_nothing_to_delete(
    blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    assert len(open_cache(stage_one(blocks, tmp_path / "c.h5", restart=True))) == 16


def test_restart_names_the_parts_too(blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.h5.parts").mkdir()
    (tmp_path / "c.h5.parts" / "settings.json").write_text("{}")
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    with pytest.raises(AevlpError, match=r"to delete .*c\.h5\.parts and start anew"):
        stage_one(blocks, tmp_path / "c.h5", restart=True)
    stage_one(blocks, tmp_path / "c.h5", restart=True, yes=True)
    assert without_logs(tmp_path) == ["c.h5"]


def test_limit_takes_the_first_images(blocks: Path, tmp_path: Path) -> None:
    cache = open_cache(stage_one(blocks, tmp_path / "c.parquet", limit=5))
    assert cache.ids.tolist() == [f"images/{n:02d}.png" for n in range(5)]


@pytest.mark.parametrize("given", [{"actors": 2}, {"gpus": 0.5}])
def test_options_of_rays_actors_are_refused_by_another_engine(blocks: Path, tmp_path: Path, given: dict) -> None:
    with pytest.raises(AevlpError, match=f"--{next(iter(given))} is for actors of Ray: pass --engine ray too"):
        stage_one(blocks, tmp_path / "x.h5", **given)


def test_model_and_weights_mistakes(blocks: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(b"nothing")
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"embed_dim": 16}))
    for options, message in (
        ({"clip": "ViT-B-61"}, "unknown open_clip model 'ViT-B-61': known are ViT-B-16"),
        ({"clip": "ViT-B-16"}, "--clip ViT-B-16 needs --weights"),
        ({"clip": "ViT-B-61", "weights": "random"}, r"^--clip: unknown open_clip model 'ViT-B-61': known are ViT-B-16"),
        ({"simulate": {"regime": "wrng"}}, r"^--simulate: unknown regime 'wrng': known are wrong"),
        ({"weights": "opneai"}, "neither a file nor one of its tags"),
        ({"weights": str(wrong)}, "does not hold weights of tiny-clip"),
        ({"clip": str(other), "weights": "random"}, "text_cfg, vision_cfg missing"),
        ({"clip": str(tmp_path / "none.json"), "weights": "random"}, "cannot read the model configuration"),
        ({"device": "cuda:7"}, "cuda:7 is not there"),
        ({"device": "tpu"}, "unknown device 'tpu'"),
        ({"cache": tmp_path / "c.txt"}, "a .h5 file or a .parquet folder"),
    ):
        with pytest.raises(AevlpError, match=message):
            stage_one(blocks, **{"cache": tmp_path / "c.h5", **options})
    assert not (tmp_path / "c.h5").exists()


def test_weights_of_another_model_are_refused(blocks: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    encoder = ClipEncoder(ClipSource(str(blocks / "tiny-clip.json"), "random"), torch.device("cpu"))
    state = {k: v.clone() for k, v in encoder.model.state_dict().items()}
    save_file({k: v for k, v in state.items() if "visual.attnpool" not in k}, tmp_path / "part.safetensors")
    with pytest.raises(AevlpError, match=r"part\.safetensors does not hold weights of tiny-clip"):
        stage_one(blocks, tmp_path / "c.h5", weights=str(tmp_path / "part.safetensors"))
    save_file(state, tmp_path / "whole.safetensors")
    cache = open_cache(stage_one(blocks, tmp_path / "c.h5", weights=str(tmp_path / "whole.safetensors")))
    file_hash = hashlib.sha256((tmp_path / "whole.safetensors").read_bytes()).hexdigest()
    assert cache.provenance["weights_sha256"] == file_hash


def test_too_long_a_prompt_is_refused(tmp_path: Path) -> None:
    folder = manifest_with(tmp_path / "data", "prompt: " + "very " * 20 + "{}")
    with pytest.raises(AevlpError, match="longer than the 12 tokens"):
        stage_one(folder, tmp_path / "c.h5")


def test_single_labels_are_noted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    draw_blocks(tmp_path / "data", 4, 2)
    table = tmp_path / "data" / "labels.csv"
    table.write_text("\n".join(line.split(";")[0] for line in table.read_text().splitlines()) + "\n")
    stage_one(tmp_path / "data", tmp_path / "c.h5")
    assert "labels: observed" in capsys.readouterr().err


def test_a_folder_that_is_no_cache_is_never_replaced(blocks: Path, tmp_path: Path) -> None:
    for name in ("mine.parquet", "mine.h5"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "notes.txt").write_text("mine")
        with pytest.raises(AevlpError, match="choose another --cache"):
            stage_one(blocks, tmp_path / name, restart=True)
        assert (tmp_path / name / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(AevlpError, match="not a folder"):
        stage_one(blocks, tmp_path / "file" / "c.h5")


def test_a_name_that_no_file_can_have_costs_its_row_alone(tmp_path: Path) -> None:
    draw_blocks(tmp_path / "data", 4, 2)
    table = tmp_path / "data" / "labels.csv"
    table.write_text(table.read_text() + "x" * 300 + ".png,test,red\n")
    cache = open_cache(stage_one(tmp_path / "data", tmp_path / "c.h5"))
    assert cache.status.tolist() == ["ok"] * 6 + ["missing"]
    table.write_text(table.read_text() + "a\0b.png,test,red\n")
    with pytest.raises(AevlpError, match=r"character that no file name can have|holds zero bytes"):
        stage_one(tmp_path / "data", tmp_path / "d.h5")


def test_a_model_that_cannot_be_built_is_one_clear_line(blocks: Path, tmp_path: Path) -> None:
    config = json.loads((blocks / "tiny-clip.json").read_text())
    config["vision_cfg"]["wings"] = 2
    (tmp_path / "winged.json").write_text(json.dumps(config))
    with pytest.raises(AevlpError, match=r"winged\.json cannot be built .*wings"):
        stage_one(blocks, tmp_path / "c.h5", clip=str(tmp_path / "winged.json"), weights="random")


@pytest.mark.parametrize("compat", ["paper", "published"])
def test_a_cache_of_before_half_was_recorded_is_one_without(
    compat: str, blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = open_cache(stage_one(blocks, tmp_path / "new.h5", compat=compat))
    made = dict(cache.provenance)
    made["method"] = {key: value for key, value in made["method"].items() if key != "half"}
    write_cache(tmp_path / "old.h5", replace(cache.header, provenance=made), cache.rows())
    assert not cached_settings(open_cache(tmp_path / "old.h5")).half
    if compat == "paper":
        stage_one(blocks, tmp_path / "old.h5")
        assert "nothing to do" in capsys.readouterr().out
    else:
        with pytest.raises(AevlpError, match=r"this run has method\.half: True, not False"):
            stage_one(blocks, tmp_path / "old.h5", compat=compat)


@pytest.mark.parametrize("weights", ["laion2b_s34b_b88k", "weights/mine.safetensors", "random", "openai "])
def test_the_published_rules_with_another_clip_match_nothing_published(
    weights: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for compat, source, said in (
        ("published", weights, True),
        ("paper", weights, False),
        ("published", "openai", False),
    ):
        _note_unpublished_clip(PseudolabelOptions(dataset="voc", compat=compat), ClipSource("ViT-B-16", source))
        error = capsys.readouterr().err
        assert ("matches nothing published" in error and weights in error) == said
        assert error.count("\n") == said


def test_stage_one_says_that_another_clip_matches_nothing_published(
    blocks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for compat, said in (("published", True), ("paper", False)):
        stage_one(blocks, tmp_path / f"{compat}.h5", compat=compat)
        assert ("matches nothing published" in capsys.readouterr().err) == said
