"""aevlp rescore: the cache of other classes equals the one that scoring the images with them gives."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, draw_blocks, stage_one

from aevlp.pipeline.clip.encoder import ClipEncoder
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.score_cache import ScoreCache, open_cache
from aevlp.stages.caches import rescore
from aevlp.stages.caches.verify import find_faults

NEW = ["blue", "dark_grey", "red", "green"]
PROMPTS = ["a picture of {}.", "{} here"]
OBSERVED = "labels: observed"


def data(folder: Path, *lines: str, classes: str = "red, green, blue") -> Path:
    """Draw blocks whose manifest has more lines and other classes; return the folder."""
    draw_blocks(folder)
    manifest = folder / "blocks.yaml"
    text = manifest.read_text().replace("[red, green, blue]", f"[{classes}]")
    if OBSERVED in lines:
        text = text.replace("    simulate: single-positive\n", "")
    manifest.write_text(text.replace("format: table", "\n    ".join(["format: table", *lines])))
    return folder


def names(folder: Path, *classes: str) -> Path:
    file = folder / "new.txt"
    file.write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of view embeddings whose observed labels are given; tests do not change it."""
    folder = tmp_path_factory.mktemp("embedded")
    return stage_one(data(folder / "data", OBSERVED), folder / "a.h5", store="embedding", storage="float32")


def assert_scored_alike(found: ScoreCache, expected: ScoreCache, atol: float) -> None:
    assert (found.classes, found.prompts) == (expected.classes, expected.prompts)
    for name in ("ids", "paths", "split", "status", "observed"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    mine, theirs = found.similarity(slice(None)), expected.similarity(slice(None))
    np.testing.assert_allclose(mine, theirs, atol=atol, rtol=0)
    np.testing.assert_allclose(found.embedding(slice(None)), expected.embedding(slice(None)), atol=atol, rtol=0)
    score, fresh = found.score(slice(None)), expected.score(slice(None))
    slope = (
        2 * float(np.abs(mine - theirs).max()) / 0.1
    )  # temperature; a softmax moves by no more than its exponent does
    np.testing.assert_allclose(score, fresh, atol=slope + 1e-6, rtol=0)
    ordered = np.sort(fresh, axis=1)
    clear = (np.diff(ordered, axis=1).min(axis=1) > 2 * slope) & (np.abs(fresh - 0.2).min(axis=1) > slope)
    assert clear.any()
    np.testing.assert_array_equal(found.code(slice(None))[clear], expected.code(slice(None))[clear])
    assert find_faults(found) == []


@pytest.mark.parametrize("storage, atol", [("float32", 1e-6), ("float16", 2e-3)])
@pytest.mark.parametrize("graph", ["none", "frozen"])
def test_it_is_what_scoring_from_scratch_gives(tmp_path: Path, storage: str, atol: float, graph: str) -> None:
    more = (OBSERVED, "natural_names: {blue: sky blue}", "synonyms: {red: [crimson, scarlet]}")
    options: dict[str, Any] = {"storage": storage, "text_graph": graph}
    old = stage_one(data(tmp_path / "data", *more), tmp_path / "old.h5", store="embedding", **options)
    found = rescore.rescore(old, classes=names(tmp_path, *NEW), prompt=PROMPTS, target=tmp_path / "found.parquet")
    shutil.rmtree(tmp_path / "data")
    scratch = data(tmp_path / "data", *more, f"prompt: {PROMPTS}", classes=", ".join(NEW))
    cosines = stage_one(scratch, tmp_path / "cosines.h5", **options)
    assert_scored_alike(open_cache(found), open_cache(cosines), atol)
    whole = open_cache(stage_one(scratch, tmp_path / "whole.h5", store="embedding", **options))
    rescored = found
    assert rescored.header.text is not None and whole.header.text is not None
    np.testing.assert_array_equal(rescored.header.text, whole.header.text)  # the same bits
    np.testing.assert_array_equal(rescored.view_embedding(slice(None)), whole.view_embedding(slice(None)))
    made = {**rescored.provenance}
    assert made.pop("vocabulary") == "rescored"
    for provenance in (made, whole.provenance):  # the table is the same, only the manifest is another file
        provenance["dataset"] = {k: v for k, v in provenance["dataset"].items() if k != "fingerprint"}
    assert made == whole.provenance


def test_it_looks_at_no_image_and_may_be_rescored_again(
    embedded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("an image was looked at")

    monkeypatch.setattr(ClipEncoder, "encode_views", never)
    first = rescore.rescore(embedded, classes=names(tmp_path, *NEW), prompt=["a {}."], target=tmp_path / "1.h5")
    again = rescore.rescore(
        first, classes=names(tmp_path, "red", "green", "blue"), prompt=["a photo of a {}."], target=tmp_path / "2.h5"
    )
    old, cache = open_cache(embedded), open_cache(again)
    np.testing.assert_array_equal(cache.similarity(slice(None)), old.similarity(slice(None)))
    for name in ("score", "code"):
        np.testing.assert_array_equal(getattr(cache, name)(slice(None)), getattr(old, name)(slice(None)))
    np.testing.assert_array_equal(cache.observed, old.observed)


def test_labels_go_with_their_classes(blocks: Path, tmp_path: Path) -> None:
    path = stage_one(blocks, tmp_path / "a.h5", store="embedding")
    old = open_cache(path)
    assert old.truth is not None
    known = rescore.rescore(path, classes=names(tmp_path, "blue", "red"), target=tmp_path / "b.h5")
    np.testing.assert_array_equal(known.observed, old.observed[:, [2, 0]])
    np.testing.assert_array_equal(np.asarray(known.truth), old.truth[:, [2, 0]])
    assert known.prompts == [old.prompts[2], old.prompts[0]]
    new = rescore.rescore(path, classes=names(tmp_path, "blue", "grey", "red"), target=tmp_path / "c.h5")
    np.testing.assert_array_equal(new.observed, np.insert(old.observed[:, [2, 0]], 1, 0, axis=1))
    assert new.truth is None
    assert find_faults(known) == find_faults(new) == []


def test_the_command_writes_beside_the_cache(
    embedded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.h5"
    shutil.copy(embedded, path)
    arguments = ("rescore", path, "--classes", names(tmp_path, *NEW))
    assert call(*arguments, "--prompt", "a {}.", "--prompt", "one {}") == 0
    assert "a-new.h5: 16 images, 4 classes" in capsys.readouterr().out
    cache = open_cache(tmp_path / "a-new.h5")
    assert cache.prompts[1] == "a dark grey. | one dark grey"
    assert cache.provenance["prompt"] == ["a {}.", "one {}"]
    assert call(*arguments) == 1
    assert "is there already" in capsys.readouterr().err
    assert call("cache", "verify", tmp_path / "a-new.h5") == 0
    assert "compared with blocks" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content, prompt, message",
    [
        ("red\nred\nblue\n", None, "class names named twice: red"),
        ("\n\n", None, "class names: expected at least one, found none"),
        ("red\n", None, "at least two classes are needed"),
        ("red\nblue\n", ["a photo"], "--prompt 'a photo': it must hold {} once"),
        ("red\nblue\n", ["{} and {}"], "it must hold {} once"),
        ("red\nblue\n", ["{} {x}"], "it must hold {} once"),
        ("red\n" + 40 * "word " + "\n", None, "is longer than the 12 tokens"),
    ],
)
def test_what_cannot_be_scored_is_one_clear_line(
    embedded: Path, tmp_path: Path, content: str, prompt: list[str] | None, message: str
) -> None:
    (tmp_path / "new.txt").write_text(content)
    with pytest.raises(AevlpError) as caught:
        rescore.rescore(embedded, classes=tmp_path / "new.txt", prompt=prompt, target=tmp_path / "b.h5")
    assert message in str(caught.value)
    assert not (tmp_path / "b.h5").exists()


def test_what_is_needed_is_named(
    embedded: Path, cache_path: Path, blocks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: Path, classes: Path) -> str:
        with pytest.raises(AevlpError) as caught:
            rescore.rescore(path, classes=classes, target=tmp_path / "b.h5")
        return str(caught.value)

    assert "holds cosines, no embeddings" in refused(cache_path, names(tmp_path, *NEW))
    assert "cannot read the class names in" in refused(embedded, tmp_path / "none.txt")
    np.save(tmp_path / "relation.npy", np.ones((3, 3), dtype=np.float32))
    relation = {"text_graph": "frozen", "relation": tmp_path / "relation.npy"}
    related = stage_one(blocks, tmp_path / "r.h5", store="embedding", **relation)
    assert "a matrix of label similarities, which says nothing of other classes" in refused(
        related, names(tmp_path, *NEW)
    )
    cache = open_cache(embedded)
    cache.provenance["weights_sha256"] = "0" * 64
    monkeypatch.setattr(rescore, "open_cache", lambda _: cache)
    assert "are not the weights that made the cache" in refused(embedded, names(tmp_path, *NEW))
