"""aevlp cache verify: a whole cache has no fault, each fault is found and told by its own sentence, in both kinds of store."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import call, draw_blocks, stage_one
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.damp import DampSettings, codes_from_scores, damp_scores
from aevlp.pipeline.score_cache import (
    CacheRows,
    hdf5,
    open_cache,
    parquet,
    reader,
    write_cache,
)
from aevlp.pipeline.score_cache.consistency import row_faults
from aevlp.stages.caches import rescore, select, verify
from aevlp.stages.caches.verify import find_faults
from fakes import SETTINGS, random_cache

STORES = ["cosine", "embedding"]
Change = Callable[[CacheRows], dict[str, Any]]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make caches of a few rows consist of several blocks."""
    for module in (parquet, hdf5, reader, verify):
        monkeypatch.setattr(module, "ROWS_A_BLOCK", 4)


def faults_of(path: Path, change: Change, **options: Any) -> list[str]:
    """Return the faults of a random cache that was written with other content."""
    header, content = random_cache(rows=11, bad=2, **options)
    write_cache(path, header, [replace(content, **change(content))])
    return find_faults(open_cache(path))


def ok_rows(content: CacheRows) -> np.ndarray:
    return np.flatnonzero(np.array(content.status) == "ok")


def bad_rows(content: CacheRows) -> np.ndarray:
    return np.flatnonzero(np.array(content.status) != "ok")


def changed(name: str, value: Any, rows: Callable[[CacheRows], np.ndarray] = ok_rows, count: int = 2) -> Change:
    """Return what gives the first number of some rows another value."""

    def change(content: CacheRows) -> dict[str, Any]:
        values = getattr(content, name)
        values = list(values) if isinstance(values, list) else values.copy()
        for row in rows(content)[:count]:
            if isinstance(values, list):
                values[row] = value
            else:
                values[row].reshape(-1)[0] = value
        return {name: values}

    return change


@pytest.mark.usefixtures("small_blocks")
@settings(max_examples=25, deadline=None)
@given(
    rows=st.integers(1, 20),
    classes=st.integers(1, 6),
    stores=st.sampled_from(STORES),
    storage=st.sampled_from(["float16", "float32"]),
    has_truth=st.booleans(),
    seed=st.integers(0, 99),
)
def test_a_whole_cache_has_no_fault(tmp_path_factory: pytest.TempPathFactory, rows: int, **options: Any) -> None:
    header, content = random_cache(rows, bad=min(rows, 3), **options)
    path = tmp_path_factory.mktemp("whole") / "a.h5"
    write_cache(path, header, [content])
    assert find_faults(open_cache(path)) == []


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("stores", STORES)
@pytest.mark.parametrize(
    "change, fault",
    [
        (changed("split", "holdout"), "a split is none of train, val and test in 2 images"),
        (changed("status", "fine", bad_rows), "a status is not a known word in 2 images"),
        (
            changed("reason", "why not"),
            "2 images have no reason why they could not be read, or one although they could",
        ),
        (changed("reason", "", bad_rows), "2 images have no reason why they could not be read, or one although they"),
        (changed("stamps", ""), "2 images have a stamp that is none"),
        (changed("stamps", "123"), "2 images have a stamp that is none"),
        (changed("stamps", "large 123", bad_rows), "2 images have a stamp that is none"),
        (changed("observed", 5, bad_rows), "an observed label is not -1, 0 or 1 in 2 images"),
        (changed("truth", 2, bad_rows), "a true label is not 0 or 1 in 2 images"),
        (changed("code", 3), "a code is not -1, 0 or 1 in 2 images"),
        (changed("code", 3), "2 images have codes that their cosines do not give"),
        (changed("score", 0.987), "2 images have scores that their cosines do not give"),
        (changed("score", np.nan), "2 images have scores that their cosines do not give"),
        (changed("score", 0.1, bad_rows), "2 images that could not be read have scores"),
        (changed("code", 1, bad_rows), "2 images that could not be read have scores"),
        (lambda content: {"ids": [*content.ids[:-1], content.ids[0]]}, "an image id stands twice: 'image_0000.jpg'"),
        (lambda content: {"ids": ["a", "b"] * 5 + ["c"]}, "an image id stands twice: 'a' and 1 more"),
        (
            lambda content: {"truth": content.truth * 0, "observed": np.eye(11, 5, dtype=np.int8)},
            "5 images have an observed label that is not true",
        ),
    ],
)
def test_each_fault_is_told(tmp_path: Path, stores: str, change: Change, fault: str) -> None:
    found = faults_of(tmp_path / "a.h5", change, stores=stores)
    assert any(line.startswith(fault) for line in found), found


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("value", [np.nan, np.inf, 1.5, -2])
def test_impossible_numbers_are_told(tmp_path: Path, value: float) -> None:
    found = faults_of(tmp_path / "a.h5", changed("similarity", value))
    assert "2 images have a cosine that is not in [-1, 1]" in found
    found = faults_of(tmp_path / "b.h5", changed("embedding", value))
    assert found == ["2 images have an embedding that is no unit vector"]
    found = faults_of(tmp_path / "c.h5", changed("view_embedding", value), stores="embedding")
    assert "2 images have an embedding that is no unit vector" in found
    for name, stores in (("similarity", "cosine"), ("embedding", "cosine"), ("view_embedding", "embedding")):
        found = faults_of(tmp_path / "d.h5", changed(name, 0.5, bad_rows), stores=stores)
        assert found == ["2 images that could not be read have scores"]


@pytest.mark.parametrize(
    "change, fault",
    [
        ({"classes": ("a", "b", "c", "d", "a")}, "the header names a class twice"),
        ({"prompts": ("a", "b")}, "the header has 2 prompts for 5 classes"),
        ({"text": np.full((5, 4), 0.1, dtype=np.float32)}, "the header has a prompt whose vector is no unit vector"),
    ],
)
def test_faults_of_the_header_are_told(tmp_path: Path, change: dict[str, Any], fault: str) -> None:
    header, content = random_cache(stores="embedding")
    write_cache(tmp_path / "a.h5", replace(header, **change), [content])
    assert fault in find_faults(open_cache(tmp_path / "a.h5"))


def test_a_method_that_is_not_known_is_told(tmp_path: Path) -> None:
    header, content = random_cache()
    header = replace(header, provenance={**header.provenance, "method": {"grid": 2, "magic": 1}})
    write_cache(tmp_path / "a.h5", header, [content])
    [fault] = find_faults(open_cache(tmp_path / "a.h5"))
    assert "its method is not one that this version knows" in fault


# Damage


@pytest.mark.usefixtures("small_blocks")
def test_damage_is_told_with_the_columns_and_their_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    header, content = random_cache(rows=27)
    write_cache(path, header, [content])
    with h5py.File(path, "r+") as file:
        columns: Any = file
        columns["paths"][26] = "elsewhere"
        for row in (1, 6, 7, 17):
            columns["embedding"][row] = columns["embedding"][row][::-1]
    assert find_faults(open_cache(path)) == [
        "embedding is not what was written in rows 0 to 7, 16 to 19",
        "paths is not what was written in rows 24 to 26",
    ]


@pytest.mark.usefixtures("small_blocks")
def test_what_cannot_be_read_is_told_and_the_rest_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    header, content = random_cache(rows=11, bad=0)
    ids = [*content.ids[:-1], content.ids[8]]
    write_cache(path, header, [replace(content, ids=ids)])
    (part,) = path.iterdir()
    metadata = parquet.pq.ParquetFile(part).metadata
    pages = metadata.row_group(1).column(metadata.schema.names.index("paths")).dictionary_page_offset
    damaged = bytearray(part.read_bytes())
    damaged[pages : pages + 40] = b"\xff" * 40
    part.write_bytes(damaged)
    found = find_faults(open_cache(path))
    assert len(found) == 2
    assert "part-00000.parquet: a row group cannot be read" in found[0]
    assert found[1] == f"an image id stands twice: {content.ids[8]!r}"


def test_each_block_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_blocks: None) -> None:
    header, content = random_cache(rows=27)
    write_cache(tmp_path / "a.h5", header, [content])
    read: list[tuple[int, int]] = []
    block = hdf5.Hdf5Store.block

    def noted(self: hdf5.Hdf5Store, rows: slice) -> Any:
        read.append((rows.start, rows.stop))
        return block(self, rows)

    def never(*_: object) -> None:
        raise AssertionError("something else was read")

    monkeypatch.setattr(hdf5.Hdf5Store, "block", noted)
    for name in ("array", "text"):
        monkeypatch.setattr(hdf5.Hdf5Store, name, never)
    assert find_faults(open_cache(tmp_path / "a.h5")) == []
    assert read == [(0, 4), (4, 8), (8, 12), (12, 16), (16, 20), (20, 24), (24, 27)]


# The last bits of a cosine


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("temperature", [0.01, 0.1])
def test_last_bits_are_no_fault_and_more_is(temperature: float, half: bool) -> None:
    """Scores that were made of embeddings on another machine, whose cosines differ by some rounding."""
    choice = DampSettings(temperature, eta=0.2, threshold=0.2, top_k=2, negative_ratio=0.3, half=half)
    random = np.random.default_rng(2)
    header, content = random_cache(rows=400, classes=8, stores="embedding", storage="float32", bad=0, width=8)
    assert header.text is not None and content.view_embedding is not None
    cosines = (content.view_embedding @ header.text.T).clip(-1, 1).mean(axis=1)
    for size, odd in ((3e-7, False), (3e-3, True)):
        moved = cosines + random.uniform(-size, size, cosines.shape).astype(np.float32)
        score, ranking = damp_scores(moved, content.observed, choice)
        rows = replace(content, score=score, code=codes_from_scores(score, ranking, choice))
        found = {fault: which.sum() for fault, which in row_faults(header, rows, choice).items() if which.any()}
        assert bool(found) == odd, found


def test_a_tile_at_the_gate_may_fall_on_either_side() -> None:
    header, content = random_cache(rows=1, classes=3, grid=1, bad=0, storage="float32")
    choice = replace(SETTINGS, eta=10.0, temperature=1.0)
    whole = np.log(np.array([0.5, 0.3, 0.2], dtype=np.float32))  # the observed class is sure by 0.5
    tile = np.log(np.array([0.5, 0.25, 0.25], dtype=np.float32))  # and its tile reaches just that
    tiles = np.stack([tile, tile[[1, 0, 2]]])
    similarity = np.broadcast_to(np.concatenate([whole[None], tiles]) / 2, (1, 2, 3, 3)).astype(np.float32)
    observed = np.array([[1, 0, 0]], dtype=np.int8)
    doubled = replace(choice, temperature=0.5)
    for nudge in (0.99995, 1.00005):
        score, ranking = damp_scores(similarity.mean(axis=1), observed * np.float32(nudge), doubled)
        rows = replace(
            content,
            similarity=similarity,
            observed=observed,
            score=score,
            code=codes_from_scores(score, ranking, doubled),
        )
        found = row_faults(replace(header, views=3), rows, doubled)
        assert not found["{} images have scores that their cosines do not give"].any()
    assert not np.allclose(
        *(damp_scores(similarity.mean(axis=1), observed * np.float32(n), doubled)[0] for n in (0.9, 1.1))
    )


@pytest.mark.parametrize(
    "negatives, odd", [([2], False), ([3], False), ([1], True), ([2, 3], True), ([], True)], ids=str
)
def test_either_of_two_classes_that_rank_alike_may_be_the_negative(negatives: list[int], odd: bool) -> None:
    header, content = random_cache(rows=1, classes=4, grid=1, bad=0, storage="float32")
    choice = replace(SETTINGS, threshold=1.0, negative_ratio=0.25)
    similarity = np.broadcast_to(np.array([0.4, 0.3, 0.1 + 1e-7, 0.1], dtype=np.float32), (1, 2, 2, 4))
    score, _ = damp_scores(similarity.mean(axis=1), content.observed, choice)
    code = np.zeros((1, 4), dtype=np.int8)
    code[0, negatives] = -1
    found = row_faults(header, replace(content, similarity=similarity, score=score, code=code), choice)
    assert found["{} images have codes that their cosines do not give"].any() == odd


# Against the data set


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Blocks that a test may change."""
    draw_blocks(tmp_path / "data")
    return tmp_path / "data"


def faults_now(cache: Path) -> list[str]:
    found = verify.verify(cache)
    assert found.compared_with is not None
    return list(found.faults)


def rewrite(data: Path, change: Callable[[list[str]], list[str]]) -> None:
    head, *lines = (data / "labels.csv").read_text().splitlines()
    (data / "labels.csv").write_text("\n".join([head, *change(lines)]) + "\n")


@pytest.mark.parametrize(
    "change, faults",
    [
        (lambda lines: lines, []),
        (lambda lines: lines[3:], ["3 images are not listed in blocks (aevlp cache append --prune drops them)"]),
        (lambda lines: [*lines, "images/99.png,test,red"], []),
        (lambda lines: [line.replace("test", "train") for line in lines], ["4 images are in another split of blocks"]),
        (
            lambda lines: [lines[0], lines[1].replace("green", "red"), *lines[2:]],
            ["1 images have other observed labels in blocks", "1 images have other true labels in blocks"],
        ),
    ],
)
def test_images_and_labels_are_those_of_the_data_set(
    data: Path, tmp_path: Path, change: Any, faults: list[str]
) -> None:
    path = stage_one(data, tmp_path / "a.h5", simulate="counts,positives=9")
    rewrite(data, change)
    assert faults_now(path) == faults


def test_classes_are_those_of_the_data_set_or_were_chosen(data: Path, tmp_path: Path) -> None:
    path = stage_one(data, tmp_path / "a.h5", store="embedding")
    (tmp_path / "new.txt").write_text("blue\nyellow\nred\n")
    select.select(path, tmp_path / "selected.h5", classes="blue,red", split="test")
    rescore.rescore(path, classes=tmp_path / "new.txt", target=tmp_path / "rescored.h5")
    names = ("a.h5", "selected.h5", "rescored.h5")
    assert [faults_now(tmp_path / name) for name in names] == [[], [], []]
    manifest = data / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("[red, green, blue]", "[red, green, violet]"))
    rewrite(data, lambda lines: [line.replace("blue", "violet") for line in lines])
    assert [fault for fault in faults_now(path) if "class" in fault] == ["its classes are not those of blocks"]
    assert "blocks has no class 'blue'" in faults_now(tmp_path / "selected.h5")
    assert not any("class" in fault for fault in faults_now(tmp_path / "rescored.h5"))


def test_what_it_is_compared_with_is_said(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = stage_one(data, tmp_path / "a.h5")
    for command in (("verify",), ("cache", "verify")):
        capsys.readouterr()
        assert call(*command, path) == 0
        said = capsys.readouterr()
        assert said.out == f"{path}: 16 images, whole and consistent\n"
        assert said.err == f"{path}: reading 16 images\ncompared with blocks in {data}\n"
    data.rename(tmp_path / "moved")
    assert call("cache", "verify", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["compared_with"] is None
    assert call("cache", "verify", path) == 0
    assert "not compared with its data set" in capsys.readouterr().err
    there = ("--manifest", tmp_path / "moved" / "blocks.yaml", "--data-root", tmp_path / "moved")
    assert call("cache", "verify", path, *there, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["compared_with"] == {"dataset": "blocks", "root": str(tmp_path / "moved")}
    assert call("cache", "verify", path, "--data-root", tmp_path / "none") == 1
    assert call("cache", "verify", path, "--dataset", "none", *there) == 1
    assert "unknown data set 'none'" in capsys.readouterr().err
    rewrite(tmp_path / "moved", lambda lines: lines[1:])
    assert call("cache", "verify", path, *there) == 1
    assert "1 images are not listed in blocks" in capsys.readouterr().err


def test_a_data_set_that_is_asked_for_must_be_readable(data: Path, tmp_path: Path) -> None:
    path = stage_one(data, tmp_path / "a.h5")
    shutil.copy(data / "blocks.yaml", tmp_path / "blocks.yaml")
    (data / "labels.csv").unlink()
    assert verify.verify(path).compared_with is None
    with pytest.raises(AevlpError, match=r"labels\.csv"):
        verify.verify(path, data_root=data)


def test_any_flipped_bit_of_a_file_is_found_before_hdf5_reads_it(tmp_path: Path) -> None:
    """HDF5 itself can hang on damaged texts, and takes many damaged bytes for others."""
    path = tmp_path / "a.h5"
    header, content = random_cache(rows=40)
    write_cache(path, header, [content])
    assert not verify.verify(path).failed
    whole = path.read_bytes()
    random = np.random.default_rng(3)
    for place in [0, 64, 511, 512, len(whole) - 1, *random.integers(len(whole), size=200).tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        path.write_bytes(damaged)
        assert "a.h5 is damaged or was changed" in verify.verify(path).failed
    for size in (0, 100, 512, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "a.h5 is damaged or was changed" in verify.verify(path).failed
