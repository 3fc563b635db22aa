"""aevlp labels: what a training would learn from, as a table that comes back as the same labels."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import call
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.codes import effective
from aevlp.pipeline.manifest.load import checked_manifest
from aevlp.pipeline.score_cache import ScoreCache, open_cache, write_cache
from aevlp.pipeline.sources.look import look
from aevlp.pipeline.sources.understood import Given, Understood
from fakes import random_cache

CLASSES = [
    "cat, big; [small]",
    'quo"te',
    "\u202b\u05e2\u05d1\u202c",
    "\U0001f431",
    "<b>&amp;</b>",
    "7",
    "none",
    "a|b",
    "yes",
    "[1 2]",
    '["cat", "dog"]',
    "{'a': 1}",
    ";|,/\t~^¦",
]


def with_images(folder: Path, classes: list[str], rows: int = 12, truth: bool = True, seed: int = 0) -> ScoreCache:
    """Return a cache in whose manifest's place and folder of images there are such."""
    header, content = random_cache(rows=rows, classes=len(classes), bad=1, seed=seed)
    root = folder / "photos"
    for number, path in enumerate(content.paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 0, 0)).save(root / path)
    listed = "\n".join(f"    - {json.dumps(name, ensure_ascii=False)}" for name in classes)
    (folder / "m.yaml").write_text(
        "datasets:\n  photos:\n    title: Photos\n    format: table\n    table: t.csv\n    root: photos\n"
        f"    classes:\n{listed}\n    damp: {{}}\n"
    )
    data = {**header.provenance["dataset"], "name": "photos", "root": str(root), "manifest": str(folder / "m.yaml")}
    header = replace(header, classes=tuple(classes), has_truth=truth, provenance={**header.provenance, "dataset": data})
    if not truth:
        content.truth = None
    write_cache(folder / "x.h5", header, [content])
    return open_cache(folder / "x.h5")


def expected(cache: ScoreCache) -> dict[str, set[str]]:
    """Return the labels of each scored image by its path, from the cache's own codes."""
    ok = cache.status == "ok"
    codes = effective(cache.observed, cache.code(np.arange(len(cache))))
    return {
        str(cache.paths[row]): {cache.classes[c] for c in np.flatnonzero(codes[row] == 1)} for row in np.flatnonzero(ok)
    }


# Those of fakes.SETTINGS, as options.
CONSTANTS = [
    "damp.temperature=0.1",
    "damp.eta=0.2",
    "damp.threshold=0.2",
    "damp.top_k=2",
    "damp.negative_ratio=0.3",
]


TABLES = given(
    classes=st.lists(st.sampled_from(CLASSES), min_size=2, max_size=6, unique=True),
    suffix=st.sampled_from([".csv", ".jsonl", ".parquet"]),
    rows=st.sampled_from(["label", "image"]),
    seed=st.integers(0, 99),
)


@settings(max_examples=12, deadline=None)
@TABLES
def test_labels_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, classes: list[str], suffix: str, rows: str, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    cache = with_images(folder, classes, seed=seed)
    table = aevlp.labels(cache, to=folder / "out" / f"l{suffix}", rows=rows, set=CONSTANTS)
    spec = aevlp.load_manifest(table.manifest)["l"]
    images = aevlp.load_images(spec, spec.default_root())
    assert list(images.classes) == classes and images.truth is None
    read = {
        path: {classes[c] for c in np.flatnonzero(images.observed[row] == 1)}
        for row, path in enumerate(images.relative_paths())
    }
    assert read == expected(cache)
    assert all(path.is_file() for path in images.paths)
    split = dict(zip(cache.paths.tolist(), cache.split.tolist(), strict=True))
    assert {path: str(images.split[row]) for row, path in enumerate(images.relative_paths())} == {
        path: split[path] for path in read
    }


@settings(max_examples=12, deadline=None)
@TABLES
def test_without_its_manifest_no_label_is_misread(
    tmp_path_factory: pytest.TempPathFactory, classes: list[str], suffix: str, rows: str, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("labels")
    cache = with_images(folder, classes, seed=seed)
    table = aevlp.labels(cache, to=folder / "photos" / f"l{suffix}", rows=rows, set=CONSTANTS)
    assert table.output is not None
    try:
        understood = look(table.output)
    except AevlpError:  # as of a class named "none", which only a list of classes makes one
        return
    assert read_again(understood) == expected(cache)


@pytest.mark.parametrize("rows", ["label", "image"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_alone_is_read_as_observed_labels(tmp_path: Path, suffix: str, rows: str) -> None:
    classes = ["cat, big", "dog", "bird; blue"]
    cache = with_images(tmp_path, classes)
    table = aevlp.labels(cache, to=tmp_path / "photos" / f"l{suffix}", rows=rows, set=CONSTANTS)
    assert table.output is not None
    understood = look(table.output)
    assert read_again(understood) == expected(cache) and understood.entry["labels"] == "observed"
    assert "written by aevlp labels" in understood.lines[0]
    named = look(table.output, Given(classes=(*classes, "nobody")))  # a class that no image has
    assert named.entry["classes"] == [*classes, "nobody"] and read_again(named) == expected(cache)


def test_a_table_with_another_column_is_asked_about(tmp_path: Path) -> None:
    cache = with_images(tmp_path, ["a", "b", "c"])
    table = aevlp.labels(cache, to=tmp_path / "photos" / "l.csv", set=CONSTANTS)
    assert table.output is not None
    text = table.output.read_text()
    table.output.write_text(text.replace("observed", "somebody"))
    with pytest.raises(AevlpError, match="the column score may say"):
        look(table.output)


def read_again(understood: Understood) -> dict[str, set[str]]:
    """Return the observed labels of each image by its path, read by an entry that was made of a table."""
    manifest = {"datasets": {understood.name: understood.entry}}
    spec = checked_manifest(manifest, understood.root / "m.yaml")[understood.name]
    images = aevlp.load_images(spec, understood.root)
    return {
        path: {images.classes[c] for c in np.flatnonzero(images.observed[row] == 1)}
        for row, path in enumerate(images.relative_paths())
    }


def test_images_that_moved_are_named_where_they_are(tmp_path: Path) -> None:
    cache = with_images(tmp_path, ["a", "b", "c"])
    (tmp_path / "photos").rename(tmp_path / "moved")
    table = aevlp.labels(cache, to=tmp_path / "l.csv", data_root=tmp_path / "moved", set=CONSTANTS)
    spec = aevlp.load_manifest(table.manifest)["l"]
    assert spec.default_root() == tmp_path / "moved"
    assert all(path.is_file() for path in aevlp.load_images(spec, spec.default_root()).paths)


def test_sources_scores_and_images_without_labels(tmp_path: Path) -> None:
    cache = with_images(tmp_path, ["a", "b", "c", "d"])
    row = int(np.flatnonzero((cache.status == "ok") & (cache.split == "train"))[0])
    seen, free = int((cache.observed[row] == 1).argmax()), int((cache.observed[row] == 0).argmax())
    answers = tmp_path / "a.csv"
    answers.write_text(
        f"image,class,answer\n{cache.ids[row]},{cache.classes[seen]},no\n{cache.ids[row]},{cache.classes[free]},yes\n"
    )
    table = aevlp.labels(cache, corrections=answers, to=tmp_path / "l.jsonl", rows="image", set=CONSTANTS)
    mine = next(of for of in table.rows if of["image"] == cache.paths[row])
    assert cache.classes[seen] not in mine["labels"]  # an answered absence suppresses a label
    assert mine["sources"][mine["labels"].index(cache.classes[free])] == "corrected"
    assert len(table) == (cache.status == "ok").sum() and table.left_out == 1
    scores = {
        (of["image"], name): score for of in table.rows for name, score in zip(of["labels"], of["scores"], strict=True)
    }
    paths = {path: n for n, path in enumerate(cache.paths.tolist())}
    for (path, name), score in scores.items():
        if path != cache.paths[row]:  # whose gate the answers changed
            assert np.isclose(score, cache.score([paths[path]])[0, cache.classes.index(name)], atol=1e-6)
    nothing = aevlp.labels(cache, policy="damp[threshold=1,temperature=1]", set=None)
    assert {of["source"] for of in nothing.rows} <= {"observed", None}


def test_each_file_has_the_same_rows(tmp_path: Path) -> None:
    cache = with_images(tmp_path, ["a", "b;c", "d"])
    tables = {
        suffix: aevlp.labels(cache, to=tmp_path / f"l{suffix[1:]}{suffix}", set=CONSTANTS)
        for suffix in (".csv", ".jsonl", ".parquet")
    }
    rows = tables[".csv"].rows
    assert [json.loads(line) for line in (tmp_path / "ljsonl.jsonl").read_text().splitlines()] == rows
    assert pq.read_table(tmp_path / "lparquet.parquet").to_pylist() == rows
    with (tmp_path / "lcsv.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [(of["image"], of["label"] or None) for of in read] == [(of["image"], of["label"]) for of in rows]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"to": "l.txt"}, "expected a .csv, .jsonl or .parquet file"),
        ({"to": "there.csv"}, "is there already"),
        ({"policy": "nobody"}, "unknown policy"),
        ({"policy": "oracle"}, "needs full labels"),
        ({"split": "val"}, "no readable image of the split val"),
    ],
)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict, said: str) -> None:
    cache = with_images(tmp_path, ["a", "b", "c"], truth=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(AevlpError, match=said):
        aevlp.labels(cache, **options)
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_the_command_says_how_to_read_it_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    with_images(tmp_path, ["a", "b", "c"])
    arguments = [part for text in CONSTANTS for part in ("--set", text)]
    assert call("labels", tmp_path / "x.h5", "--to", tmp_path / "l.csv", *arguments) == 0
    assert "read it again: aevlp run" in capsys.readouterr().out
    assert call("labels", tmp_path / "x.h5", *arguments) == 0
    assert '"source": "observed"' in capsys.readouterr().out
