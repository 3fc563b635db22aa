"""aevlp cache merge, diff and select: what they write equals what plain arrays give, and what they refuse."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, stage_one, stage_two
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import refusal

from aevlp.pipeline.datasets import load_images
from aevlp.pipeline.labels.damp import damp_codes
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.score_cache import (
    CacheHeader,
    CacheRows,
    ScoreCache,
    hdf5,
    open_cache,
    parquet,
    reader,
    write_cache,
)
from aevlp.pipeline.score_cache.comparing import Comparison, compare
from aevlp.pipeline.score_cache.schema import joined
from aevlp.stages.caches import merge, select
from aevlp.stages.caches.verify import find_faults
from fakes import SETTINGS, random_cache

STORES = ["cosine", "embedding"]
LABELS = ("truth", "observed", "score", "code")


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make caches of a few rows consist of several blocks."""
    for module in (parquet, hdf5, reader):
        monkeypatch.setattr(module, "ROWS_A_BLOCK", 4)


def written(path: Path, **options: Any) -> tuple[CacheHeader, CacheRows]:
    header, content = random_cache(**options)
    write_cache(path, header, [content])
    return header, content


def whole(path: Path) -> CacheRows:
    return joined(list(open_cache(path).rows()))


def assert_same(found: CacheRows, expected: CacheRows) -> None:
    for name, theirs in vars(expected).items():
        mine = getattr(found, name)
        if isinstance(theirs, np.ndarray):
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
        else:
            assert mine == theirs, name


# Select


@pytest.mark.parametrize("stores", STORES)
@pytest.mark.parametrize("suffix", ["h5", "parquet"])
def test_selected_rows_are_those_rows(tmp_path: Path, stores: str, suffix: str) -> None:
    _, content = written(tmp_path / f"a.{suffix}", rows=15, stores=stores, bad=3)
    wanted = [0, 1, 6, 9, 14]
    (tmp_path / "ids.txt").write_text("".join(f"{content.ids[n]}\n" for n in wanted[::-1]))
    select.select(tmp_path / f"a.{suffix}", tmp_path / "b.h5", images=str(tmp_path / "ids.txt"))
    assert_same(whole(tmp_path / "b.h5"), content.take(np.array(wanted)))
    select.select(tmp_path / f"a.{suffix}", tmp_path / "listed.h5", images=[content.ids[n] for n in wanted])
    assert_same(whole(tmp_path / "listed.h5"), content.take(np.array(wanted)))
    select.select(tmp_path / f"a.{suffix}", tmp_path / "test.parquet", split="test")
    assert_same(whole(tmp_path / "test.parquet"), content.take(np.arange(10, 15)))
    select.select(tmp_path / "b.h5", tmp_path / "c.h5", images=f"{content.ids[6]}, {content.ids[14]}", split="train")
    assert_same(whole(tmp_path / "c.h5"), content.take(np.array([6])))
    for name in ("b.h5", "test.parquet", "c.h5"):
        assert find_faults(open_cache(tmp_path / name)) == []
        assert "vocabulary" not in open_cache(tmp_path / name).provenance


@pytest.mark.parametrize("stores", STORES)
def test_selected_classes_are_scored_among_themselves(tmp_path: Path, stores: str) -> None:
    header, content = written(tmp_path / "a.h5", rows=30, classes=6, stores=stores, storage="float32", bad=3)
    names = ["class_4", "class_0", "class_3"]
    select.select(tmp_path / "a.h5", tmp_path / "b.h5", classes=names)
    old, cache = open_cache(tmp_path / "a.h5"), open_cache(tmp_path / "b.h5")
    assert cache.classes == names
    assert cache.prompts == [header.prompts[n] for n in (4, 0, 3)]
    assert cache.provenance["vocabulary"] == "selected"
    for name in ("truth", "observed"):
        np.testing.assert_array_equal(getattr(cache, name), getattr(content, name)[:, [4, 0, 3]])
    found = cache.similarity(slice(None))
    np.testing.assert_allclose(found, old.similarity(slice(None))[..., [4, 0, 3]], atol=1e-6)
    ok = cache.status == "ok"
    expected = damp_codes(found[ok].mean(axis=1), content.observed[ok][:, [4, 0, 3]], SETTINGS)
    np.testing.assert_array_equal(cache.code(ok), expected)
    assert (cache.code(~ok) == 0).all() and np.isnan(cache.score(~ok)).all()
    assert find_faults(cache) == []


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_selecting_twice_is_selecting_the_second_at_once(tmp_path: Path, data: st.DataObject) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    _, content = written(tmp_path / "a.h5", rows=12, classes=5, stores=data.draw(st.sampled_from(STORES)))
    first = data.draw(st.permutations([f"class_{n}" for n in range(5)]))[: data.draw(st.integers(3, 5))]
    second = data.draw(st.permutations(first))[:2]
    ids = data.draw(st.lists(st.sampled_from(content.ids), min_size=1, unique=True))
    select.select(tmp_path / "a.h5", tmp_path / "b.h5", classes=",".join(first))
    select.select(tmp_path / "b.h5", tmp_path / "c.h5", classes=",".join(second), images=",".join(ids))
    select.select(tmp_path / "a.h5", tmp_path / "d.h5", classes=",".join(second), images=",".join(ids))
    assert_same(whole(tmp_path / "c.h5"), whole(tmp_path / "d.h5"))
    assert open_cache(tmp_path / "c.h5").fingerprint == open_cache(tmp_path / "d.h5").fingerprint


def test_fewer_classes_than_top_k_are_at_most_all_of_them(tmp_path: Path) -> None:
    written(tmp_path / "a.h5", rows=20)
    for n in range(2):
        select.select(tmp_path / "a.h5", tmp_path / f"{n}.h5", classes=f"class_{n},class_3")
        assert find_faults(open_cache(tmp_path / f"{n}.h5")) == []


@pytest.mark.parametrize(
    "options, message",
    [
        (("unicorn,class_1", None, None), "unknown class of"),
        (("class_1", None, None), "at least two classes are needed, found 1"),
        (("class_1,class_2,class_1", None, None), "class names named twice: class_1"),
        ((",", None, None), "class names: expected at least one, found none"),
        ((None, "image_0001.jpg,a.jpg,b.jpg", None), "has no image 'a.jpg'; it lacks 2 of 3 asked for"),
        ((None, "image_0001.jpg", "test"), "no image is left of the test split"),
    ],
)
def test_what_cannot_be_selected_is_one_clear_line(tmp_path: Path, options: tuple, message: str) -> None:
    written(tmp_path / "a.h5")
    given = dict(zip(("classes", "images", "split"), options, strict=True))
    assert message in refusal(select.select, tmp_path / "a.h5", tmp_path / "b.h5", **given)
    assert [p.name for p in tmp_path.iterdir()] == ["a.h5"]


# Merge


@pytest.mark.parametrize(
    "store, suffix",
    [
        (STORES[0], "h5"),
        (STORES[1], "parquet"),
        pytest.param(STORES[0], "parquet", marks=pytest.mark.slow),
        pytest.param(STORES[1], "h5", marks=pytest.mark.slow),
    ],
)
def test_a_cache_cut_and_merged_is_the_cache(blocks: Path, tmp_path: Path, store: str, suffix: str) -> None:
    path = stage_one(blocks, tmp_path / "a.h5", store=store)
    for split in ("train", "test"):
        assert call("cache", "select", path, tmp_path / f"{split}.{suffix}", "--split", split) == 0
    parts = [tmp_path / f"{split}.{suffix}" for split in ("test", "train")]
    assert call("cache", "merge", tmp_path / f"b.{suffix}", *parts) == 0
    old, cache = open_cache(path), open_cache(tmp_path / f"b.{suffix}")
    assert cache.header.to_json() == old.header.to_json()
    assert cache.fingerprint == old.fingerprint
    assert_same(whole(tmp_path / f"b.{suffix}"), whole(path))
    if store == "cosine":
        stage_two(cache.path, tmp_path / "run", epochs=1, backbone="linear")  # it passes for the data set's own


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(owner=st.lists(st.integers(0, 2), min_size=14, max_size=14).filter(lambda owner: len(set(owner)) == 3))
def test_merged_rows_stand_as_given_training_first(tmp_path: Path, owner: list[int]) -> None:
    for old in tmp_path.iterdir():
        old.unlink()
    _, content = written(tmp_path / "a.h5", rows=14, bad=2)
    for n in range(3):
        ids = [name for name, of in zip(content.ids, owner, strict=True) if of == n]
        select.select(tmp_path / "a.h5", tmp_path / f"{n}.h5", images=",".join(ids))
    merge.merge(tmp_path / "b.h5", [tmp_path / f"{n}.h5" for n in (2, 0, 1)])
    rank = {2: 0, 0: 1, 1: 2}
    order = sorted(range(14), key=lambda row: (content.split[row] == "test", rank[owner[row]], row))
    assert_same(whole(tmp_path / "b.h5"), content.take(np.array(order)))
    assert find_faults(open_cache(tmp_path / "b.h5")) == []


def halves(folder: Path, change: Callable[[CacheHeader], CacheHeader], **options: Any) -> list[Path]:
    """Write the rows of one cache as two caches, of which the second has another header."""
    header, content = random_cache(rows=8, **options)
    for name, head, rows in (("a", header, slice(4)), ("b", change(header), slice(4, 8))):
        write_cache(folder / f"{name}.h5", replace(head, rows=4), [content.take(rows)])
    return [folder / "a.h5", folder / "b.h5"]


def provenance(**changes: Any) -> Callable[[CacheHeader], CacheHeader]:
    return lambda header: replace(header, provenance={**header.provenance, **changes})


@pytest.mark.parametrize(
    "change, place",
    [
        (provenance(weights_sha256="2" * 64), "weights_sha256"),
        (provenance(prompt=["a {}."]), "prompt"),
        (provenance(method={"grid": 2}), "method"),
        (provenance(versions={"aevlp": "1"}), "versions.aevlp"),
        (provenance(vocabulary="selected"), "vocabulary"),
        (provenance(dataset={"name": "other", "fingerprint": "", "label_files": {}}), "dataset.name: other, not fake"),
        (
            provenance(dataset={"name": "fake", "fingerprint": "", "label_files": {"labels.csv": "3" * 64}}),
            "dataset.label_files",
        ),
        (lambda header: replace(header, classes=header.classes[::-1]), "classes"),
        (lambda header: replace(header, prompts=header.prompts[::-1]), "prompts"),
    ],
)
def test_caches_made_differently_are_not_merged(tmp_path: Path, change: Any, place: str) -> None:
    paths = halves(tmp_path, change)
    found = refusal(merge.merge, tmp_path / "c.h5", paths)
    assert found.startswith(f"{paths[1]} was made differently from {paths[0]} ({place}")
    assert not (tmp_path / "c.h5").exists()


def test_other_vectors_of_the_prompts_are_not_merged(tmp_path: Path) -> None:
    paths = halves(tmp_path, lambda header: replace(header, text=-np.asarray(header.text)), stores="embedding")
    assert "(the prompts' vectors)" in refusal(merge.merge, tmp_path / "c.h5", paths)


def test_an_image_in_two_caches_is_named_with_both(tmp_path: Path) -> None:
    _, content = written(tmp_path / "a.h5")
    select.select(tmp_path / "a.h5", tmp_path / "b.h5", images=content.ids[3])
    found = refusal(merge.merge, tmp_path / "c.h5", [tmp_path / "a.h5", tmp_path / "b.h5"])
    assert f"the image {content.ids[3]!r} stands in {tmp_path / 'a.h5'} and in {tmp_path / 'b.h5'}" in found


def test_damage_ends_a_merge_and_nothing_is_written(tmp_path: Path) -> None:
    paths = halves(tmp_path, lambda header: header)
    content = paths[1].read_bytes()
    paths[1].write_bytes(content.replace(b"image_0006.jpg", b"image_0007.jpg"))
    assert str(paths[1]) in refusal(merge.merge, tmp_path / "c.h5", paths)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.h5", "b.h5"]


# Diff


def compared(a: Path, b: Path) -> Comparison:
    return compare(open_cache(a), open_cache(b))


@pytest.mark.parametrize("stores", STORES)
def test_equal_caches_of_both_formats_are_equal(
    tmp_path: Path, stores: str, capsys: pytest.CaptureFixture[str]
) -> None:
    written(tmp_path / "a.h5", rows=11, stores=stores, bad=2)
    assert call("convert", tmp_path / "a.h5", tmp_path / "b.parquet") == 0
    capsys.readouterr()
    assert call("cache", "diff", tmp_path / "a.h5", tmp_path / "b.parquet") == 0
    assert capsys.readouterr().out == "equal\n"
    assert call("cache", "diff", tmp_path / "a.h5", tmp_path / "b.parquet", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["equal"] is True and (found["scored"], found["cosines"]) == (9, 0)


@pytest.mark.parametrize(
    "change",
    [
        lambda header, rows: (replace(header, prompts=header.prompts[::-1]), rows),
        lambda header, rows: (header, replace(rows, ids=["another.jpg", *rows.ids[1:]])),
        lambda header, rows: (header, replace(rows, split=["test", *rows.split[1:]])),
        lambda header, rows: (header, replace(rows, code=rows.code * 0)),
        lambda header, rows: (header, replace(rows, similarity=rows.similarity / 2)),
        lambda header, rows: (header, rows.take(np.arange(len(rows))[::-1])),
    ],
    ids=["settings", "images", "splits", "codes", "cosines", "order"],
)
@pytest.mark.parametrize("more", [(), ("--json",)])
def test_a_difference_is_exit_1(
    tmp_path: Path, change: Any, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    header, content = written(tmp_path / "a.h5", rows=11)
    other, rows = change(header, content)
    write_cache(tmp_path / "b.h5", other, [rows])
    assert call("cache", "diff", tmp_path / "a.h5", tmp_path / "b.h5", *more) == 1
    printed = capsys.readouterr()
    assert printed.err == ""
    assert json.loads(printed.out)["equal"] is False if more else printed.out.endswith("not equal\n")


def test_differences_are_those_of_the_arrays(tmp_path: Path) -> None:
    """Other order, some rows missing on each side, other cosines, codes, labels and statuses, other classes."""
    random = np.random.default_rng(3)
    header, a = random_cache(rows=24, classes=5, storage="float32", bad=3)
    assert a.similarity is not None
    order = np.concatenate([random.permutation(16)[:13], 16 + random.permutation(8)[:6]])
    mine = a.take(np.arange(2, 24))
    moved = a.similarity.copy()
    moved[[4, 9, 17]] += np.array([0.01, -0.3, 0.02], dtype=np.float32)[:, None, None, None]
    code, observed, status = a.code.copy(), a.observed.copy(), list(a.status)
    code[11, 2], code[11, 3], observed[5] = code[11, 2] % 2 - 1, 7, -1
    status[12] = "missing"
    other = replace(a, similarity=moved, code=code, observed=observed, status=status).take(order)
    write_cache(tmp_path / "a.h5", replace(header, rows=22), [mine])
    shuffled = [3, 1, 2, 0]  # without class_4
    fewer = replace(
        other, **{n: getattr(other, n)[..., shuffled] for n in ("similarity", "observed", "truth", "score", "code")}
    )
    head = replace(header, rows=19, classes=tuple(header.classes[n] for n in shuffled), prompts=header.prompts[:4])
    write_cache(tmp_path / "b.parquet", head, [fewer])

    found = compared(tmp_path / "a.h5", tmp_path / "b.parquet")
    both = sorted(set(range(2, 24)) & set(order.tolist()))
    ok = [n for n in both if a.status[n] == "ok" and status[n] == "ok"]
    assert not found.equal and found.order
    assert found.classes == (["class_4"], [])
    assert found.images[0] == [a.ids[n] for n in range(2, 24) if n not in both]
    assert found.images[1] == [a.ids[n] for n in order if n not in both]
    assert {place for place, _, _ in found.settings} == {"classes", "prompts"}
    assert found.status == sum(a.status[n] != status[n] for n in both)
    assert found.labels == int(5 in both)
    assert found.scored == len(ok)
    far = np.abs(moved - a.similarity)[ok][..., :4].reshape(len(ok), -1)
    assert found.cosines == (far.max(axis=1) > 0).sum() > 0
    np.testing.assert_allclose([found.largest, found.mean], [far.max(), far.mean()], rtol=1e-5)
    expected = sorted(((float(f.max()), a.ids[n]) for f, n in zip(far, ok, strict=True) if f.max() > 0), reverse=True)
    assert found.farthest == [(name, distance) for distance, name in expected]
    differ = (code != a.code)[ok][:, :4]
    assert (found.code_rows, found.code_entries) == (differ.any(axis=1).sum(), differ.sum())


def test_the_other_way_round_is_the_same_difference(tmp_path: Path) -> None:
    written(tmp_path / "a.h5", rows=12)
    written(tmp_path / "b.h5", rows=15, seed=4, bad=3)
    there, back = compared(tmp_path / "a.h5", tmp_path / "b.h5"), compared(tmp_path / "b.h5", tmp_path / "a.h5")
    assert there.images == back.images[::-1] and not there.equal
    np.testing.assert_allclose([there.largest, there.mean], [back.largest, back.mean])
    for name in ("status", "split", "labels", "scored", "cosines", "code_rows", "code_entries"):
        assert getattr(there, name) == getattr(back, name)


def test_a_cosine_that_is_no_number_is_as_far_as_can_be(tmp_path: Path) -> None:
    header, content = written(tmp_path / "a.h5", bad=0)
    assert content.similarity is not None
    odd = content.similarity.copy()
    odd[2, 0, 0, 0] = np.nan
    write_cache(tmp_path / "b.h5", header, [replace(content, similarity=odd)])
    found = compared(tmp_path / "a.h5", tmp_path / "b.h5")
    assert (found.largest, found.cosines, found.farthest) == (2, 1, [(content.ids[2], 2)])


def test_the_differences_are_said(tmp_path: Path, blocks: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [stage_one(blocks, tmp_path / name, **options) for name, options in (("a.h5", {}), ("b.h5", {"grid": 1}))]
    select.select(paths[1], tmp_path / "c.h5", classes="blue,red", split="train")
    capsys.readouterr()
    assert call("cache", "diff", paths[0], tmp_path / "c.h5") == 1
    said = capsys.readouterr().out.splitlines()
    assert f"method.grid: 2 in {paths[0]}, 1 in {tmp_path / 'c.h5'}" in said
    assert f"vocabulary: none in {paths[0]}, selected in {tmp_path / 'c.h5'}" in said
    assert f"1 (green): classes of {paths[0]} alone" in said
    assert f"4 (images/12.png, images/13.png, images/14.png, …): images of {paths[0]} alone" in said
    assert "cosines cannot be compared: the views or flips are others" in said
    assert said[-1] == "not equal"
    assert call("cache", "diff", paths[0], tmp_path / "none.h5") == 1


# The commands


def test_nothing_is_ever_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path / "a.h5")
    for n, command in enumerate((("select", "a.h5", "a.h5", "--split", "train"), ("merge", "a.h5", "a.h5", "a.h5"))):
        arguments = [tmp_path / word if word.endswith(".h5") else word for word in command[1:]]
        assert call("cache", command[0], *arguments) == 1, n
        assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments, code",
    [
        (("select", "a.h5", "b.h5"), 1),
        (("select", "a.h5", "b.h5", "--split", "holdout"), 2),
        (("merge", "b.h5", "a.h5"), 1),
        (("diff", "a.h5"), 2),
    ],
)
def test_wrong_usage_is_said_before_anything_is_read(arguments: tuple[str, ...], code: int) -> None:
    assert call("cache", *arguments) == code


def test_a_selected_cache_has_the_fingerprint_of_what_it_holds(blocks: Path, tmp_path: Path) -> None:
    path = stage_one(blocks, tmp_path / "a.h5")
    select.select(path, tmp_path / "b.h5", classes="blue,red", split="test")
    images = load_images(load_manifest(blocks / "blocks.yaml")["blocks"], blocks)
    kept = images.take(np.flatnonzero(images.split == "test"))
    assert kept.truth is not None
    expected = replace(
        kept, classes=("blue", "red"), truth=kept.truth[:, [2, 0]], observed=kept.observed[:, [2, 0]]
    ).fingerprint()
    assert open_cache(tmp_path / "b.h5").provenance["dataset"]["fingerprint"] == expected


@pytest.mark.parametrize("stores", STORES)
def test_the_examples_of_the_page_about_the_format_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stores: str
) -> None:
    """Cosines as they are, embeddings after a word for them has been put in."""
    page = Path(__file__).parents[1] / "docs" / "cache_format.md"
    examples = [part.split("```")[0] for part in page.read_text(encoding="utf-8").split("```python\n")[1:]]
    assert len(examples) == 2
    monkeypatch.chdir(tmp_path)
    for suffix, example in zip(("h5", "parquet"), examples, strict=True):
        _, content = written(Path("cache") / f"scenes2.{suffix}", rows=11, classes=5, stores=stores)
        if stores == "embedding":
            example = example.replace("similarity", "view_embedding").replace('len(header["classes"]))\ncos', "4)\ncos")
            example = example.replace("reshape(shape[0], shape[3])", "reshape(-1, 5)")
        found: dict[str, Any] = {}
        exec(example, found)
        stored = content.similarity if stores == "cosine" else content.view_embedding
        assert stored is not None
        np.testing.assert_array_equal(found["cosines"], stored[0] if suffix == "h5" else stored)
        assert content.ids[0] in capsys.readouterr().out


def test_no_more_than_a_few_blocks_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "a.h5", rows=40)
    held: list[int] = []
    block = ScoreCache.block

    def counted(self: ScoreCache, number: int) -> CacheRows:
        found = block(self, number)
        held.append(len(found))
        return found

    select.select(tmp_path / "a.h5", tmp_path / "1.h5", split="train")
    select.select(tmp_path / "a.h5", tmp_path / "2.h5", split="test")
    monkeypatch.setattr(ScoreCache, "block", counted)
    merge.merge(tmp_path / "c.h5", [tmp_path / "1.h5", tmp_path / "2.h5"])
    assert max(held) == 4
    assert sum(held) == 2 * 40  # each row once, and once more when what was written is checked
