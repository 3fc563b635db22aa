"""Which labels are used: all that are given, unless some are hidden on purpose; and what each command says of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import call, draw_blocks, stage_one, stage_two
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aevlp.pipeline.datasets import load_images
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.labels.added import added_labels
from aevlp.pipeline.labels.observation import NONE, parsed
from aevlp.pipeline.labels.single_positive import observe
from aevlp.pipeline.labels.usage import label_use
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.policies.labelling import label
from aevlp.pipeline.score_cache import ScoreCache, open_cache, write_cache
from aevlp.pipeline.score_cache.provenance import simulation_of
from aevlp.stages.caches.inspect import cached_settings
from aevlp.stages.caches.verify import find_faults
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan

HIDDEN = "    simulate: single-positive\n"


def own(folder: Path, line: str = "") -> Path:
    """Draw blocks as somebody's own table, of which no label is hidden; return their folder."""
    draw_blocks(folder)
    manifest = folder / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace(HIDDEN, f"    {line}\n"))
    return folder


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of a table of one's own; tests do not change it."""
    folder = tmp_path_factory.mktemp("own")
    return stage_one(own(folder / "data"), folder / "own.h5", storage="float32")


# --- what is observed


def test_every_label_of_a_table_of_ones_own_is_observed(own_cache: Path) -> None:
    cache = open_cache(own_cache)
    rows = (own_cache.parent / "data" / "labels.csv").read_text().splitlines()[1:]
    written = [[int(word in row.rsplit(",", 1)[1].split(";")) for word in cache.classes] for row in rows]
    assert cache.truth is not None and cache.truth.tolist() == written
    assert cache.observed.tolist() == written  # 1 and 0: what is absent is not observed
    assert max(map(sum, written)) == 2
    assert cache.provenance["simulate"] == NONE
    assert find_faults(cache) == []


def test_labels_are_hidden_by_the_option_and_the_manifests_simulation_is_switched_off(tmp_path: Path) -> None:
    folder = own(tmp_path / "data")
    spec = load_manifest(folder / "blocks.yaml")["blocks"]
    whole = load_images(spec)
    alone = load_images(spec, simulate="single-positive")
    assert whole.truth is not None
    for split in ("train", "test"):
        rows = whole.split == split
        np.testing.assert_array_equal(alone.observed[rows], observe(whole.truth[rows]))
    (folder / "blocks.yaml").write_text((folder / "blocks.yaml").read_text() + HIDDEN)
    spec = load_manifest(folder / "blocks.yaml")["blocks"]
    np.testing.assert_array_equal(load_images(spec).observed, alone.observed)
    np.testing.assert_array_equal(load_images(spec, simulate="none").observed, whole.observed)


@pytest.mark.parametrize("name", ["voc", "coco", "nuswide", "cub", "scenes"])
def test_the_packaged_data_sets_simulate_single_positives(name: str) -> None:
    assert load_manifest()[name].simulate == {"regime": "single-positive", "seed": 1200}


def test_explicit_absences_stay_as_they_are_given(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,cat,dog\na.png,1,0\nb.png,,1\n")
    (tmp_path / "m.yaml").write_text(
        "datasets: {pets: {title: T, format: table, table: t.csv, label_columns: [cat, dog]}}"
    )
    images = load_images(load_manifest(tmp_path / "m.yaml")["pets"])
    assert images.truth is None
    assert images.observed.tolist() == [[1, -1], [0, 1]]
    assert label_use(images.observed, None, images.simulate).text == (
        "1.0 labels and 0.5 verified absent an image are given, all are used"
    )


def test_a_mistake_in_the_regime_is_said_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(AevlpError, match=r"^unknown regime 'frequncy': known are frequency"):
        load_images(load_manifest()["scenes"], tmp_path / "scenes", simulate="frequncy")
    assert not (tmp_path / "scenes").exists()


# --- the old names


@pytest.mark.parametrize("key", ["observation", "observe"])
def test_the_old_key_is_refused_by_the_new_name(tmp_path: Path, key: str) -> None:
    folder = own(tmp_path / "data", f"{key}: {{regime: uniform}}")
    with pytest.raises(AevlpError) as caught:
        load_manifest(folder / "blocks.yaml")
    assert f"datasets.blocks: `{key}` is called `simulate` now" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_old_option_is_refused_by_the_new_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("pseudolabel", "--dataset", "scenes", "--observe", "wrong,rate=0.2") == 1
    found = capsys.readouterr().err.strip()
    assert found.endswith("--observe is called --simulate now: pass --simulate REGIME instead")
    assert call("train", "cache/scenes.h5", "--observe", "wrong,rate=0.2") == 2  # which has neither
    assert "--simulate" not in capsys.readouterr().err
    assert "\n" not in found


def as_before(cache: ScoreCache, path: Path, observation: object) -> Path:
    """Write a cache as it was written when the regime stood under `observation`; return its path."""
    made = {**cache.provenance, "observation": observation}
    del made["simulate"]
    write_cache(path, replace(cache.header, provenance=made), cache.rows())
    return path


@pytest.mark.parametrize(("hidden", "then"), [(True, {"regime": "uniform", "seed": 1200}), (False, "as given")])
def test_a_cache_of_before_is_read_and_taken_for_the_same(
    tmp_path: Path, hidden: bool, then: object, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own(tmp_path / "data", "simulate: single-positive" if hidden else "labels: observed")
    new = open_cache(stage_one(folder, tmp_path / "new.h5"))
    old = as_before(new, tmp_path / "old.h5", then)
    assert simulation_of(open_cache(old).provenance) == new.provenance["simulate"]
    assert find_faults(open_cache(old)) == []
    make_plan(TrainOptions(old))
    stage_one(folder, old)
    assert "made with these very settings" in capsys.readouterr().out
    assert call("inspect", old) == 0
    assert call("cache", "diff", old, tmp_path / "new.h5") == 0


def test_what_the_first_caches_say_is_counts_still() -> None:
    said = {"positives": 1, "negatives": 0, "seed": 1200}
    assert simulation_of({"observation": said}) == parsed("counts")
    assert simulation_of({}) == NONE


# --- how many, in words


@given(arrays(np.int8, (7, 4), elements=st.integers(0, 1)), st.data())
def test_the_use_of_labels_is_counted(truth: np.ndarray, data: st.DataObject) -> None:
    observed = data.draw(arrays(np.int8, (7, 4), elements=st.integers(-1, 1)))
    use = label_use(observed, truth, parsed("wrong,rate=0.5"))
    pairs = [(o, t) for row, of in zip(observed, truth, strict=True) for o, t in zip(row, of, strict=True)]
    assert use.given == sum(t for _, t in pairs)
    assert use.used == sum(o == 1 for o, _ in pairs)
    assert use.wrong == sum(o == 1 and t == 0 for o, t in pairs)
    assert use.negatives == sum(o == -1 for o, _ in pairs)


TRUTH = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1], [1, 1, 1], [1, 0, 1]])  # 2.4 an image
ONE = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0]])  # the last of them is wrong


@pytest.mark.parametrize(
    ("observed", "truth", "simulate", "text"),
    [
        (TRUTH, TRUTH, "none", "2.4 labels an image are given, all are used"),
        (TRUTH, None, "none", "2.4 labels an image are given, all are used"),
        (ONE[:4], TRUTH[:4], "single-positive", "1.0 of 2.5 labels an image are used: simulate: single-positive"),
        (
            ONE,
            TRUTH,
            "wrong,rate=0.2",
            "1.0 of 2.4 labels an image are used, 0.2 of them wrong: simulate: wrong,rate=0.2",
        ),
        (
            2 * TRUTH - 1,
            TRUTH,
            "fraction,fraction=1",
            "2.4 of 2.4 labels and 0.6 verified absent an image are used: simulate: fraction,fraction=1",
        ),
        (
            ONE[:4],
            TRUTH[:4],
            "none",
            "1.0 of 2.5 labels an image are used: the data set says itself which are observed",
        ),
        (TRUTH[:0], TRUTH[:0], "none", "no image, no label"),
        (0 * TRUTH, None, "none", "no label is given"),
    ],
)
def test_the_use_of_labels_is_said(observed: np.ndarray, truth: np.ndarray | None, simulate: str, text: str) -> None:
    assert label_use(observed, truth, parsed(simulate)).text == text


def test_stage_one_says_at_the_start_whether_labels_are_hidden(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own(tmp_path / "data")
    stage_one(folder, tmp_path / "c.h5")
    said = capsys.readouterr().err
    assert "Training images: 1.5 labels an image are given, all are used" in said and "hidden" not in said
    stage_one(folder, tmp_path / "d.h5", simulate="single-positive")
    said = capsys.readouterr().err
    assert "simulate: single-positive: 12 of 18 given labels are used (--simulate none uses all)" in said
    assert "Training images: 1.0 of 1.5 labels an image are used: simulate: single-positive" in said
    assert said.index("12 of 18") < said.index("scoring")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "1.5 labels an image are given, all are used"),
        ("simulate: single-positive", "1.0 of 1.5 labels an image are used: simulate: single-positive"),
    ],
)
def test_check_says_how_many_labels_are_used(
    tmp_path: Path, line: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = own(tmp_path / "data", line)
    assert call("check", folder / "blocks.yaml") == 0
    assert f"blocks: {expected}" in capsys.readouterr().out
    call("check", folder / "blocks.yaml", "--json")
    found = json.loads(capsys.readouterr().out)["blocks"]["labels_used"]
    assert (found["text"], found["given"], found["images"]) == (expected, 18, 12)


@pytest.mark.parametrize(
    ("edit", "options", "expected"),
    [
        (None, {}, []),
        (
            "damp",
            {},
            ["other constants of damp than this training takes (threshold: 0.7, not 0.2): no image is scored again"],
        ),
        ("damp", {"set": ["damp.threshold=0.2"]}, []),
        ("damp", {"loss": "an"}, []),
        ("loss", {}, ["constants of the manifest blocks.yaml: gpr[expected_positives=1.5,q3=0.4]"]),
        ("loss", {"set": ["gpr.q3=0.4"]}, ["constants of the manifest blocks.yaml: gpr[expected_positives=1.5]"]),
        ("loss", {"loss": "gr"}, []),
    ],
)
def test_training_says_which_constants_are_the_manifests_of_now(
    edit: str | None,
    options: dict[str, object],
    expected: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = own(tmp_path / "data", "labels: observed")
    manifest = folder / "blocks.yaml"
    loss = "      gpr: {expected_positives: 1.5}\n"
    manifest.write_text(manifest.read_text().replace("    losses:\n" + loss, ""))
    stage_one(folder, tmp_path / "c.h5")
    if edit == "damp":
        with_constants(folder, threshold=0.7)
    elif edit == "loss":
        manifest.write_text(manifest.read_text() + "    losses:\n" + loss.replace("1.5}", "1.5, q3: 0.4}"))
    capsys.readouterr()
    stage_two(tmp_path / "c.h5", tmp_path / "run", backbone="linear", epochs=1, **options)
    said = capsys.readouterr().err
    for text in expected:
        assert text in said
    assert said.count("constants of ") == len(expected), said


# --- what pseudo-labels add


@given(arrays(np.int8, (9, 5), elements=st.integers(-1, 1)), arrays(np.int8, (9, 5), elements=st.integers(-1, 1)))
def test_added_labels_are_those_that_were_not_observed(codes: np.ndarray, observed: np.ndarray) -> None:
    found = added_labels([(codes[:4], observed[:4]), (codes[4:], observed[4:])], 3)
    added = [
        [(n, c) for c in range(5) for n in range(9) if observed[n, c] == 0 and codes[n, c] == code] for code in (1, -1)
    ]
    assert (found.positives, found.negatives) == tuple(map(len, added))
    assert found.images == len({n for n, _ in added[0]})
    assert found.labelled == len({n for entries in added for n, _ in entries})
    assert found.full == sum(list(row).count(1) >= 3 for row in codes)
    assert found.of == 9


def with_constants(folder: Path, **damp: float) -> Path:
    """Change constants of damp in a manifest; return the folder."""
    manifest = folder / "blocks.yaml"
    text = manifest.read_text()
    for name, value in damp.items():
        before = text.split(f"{name}: ")[1].split(",")[0].split("}")[0]
        text = text.replace(f"{name}: {before}", f"{name}: {value}", 1)
    manifest.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("line", "damp", "expected"),
    [
        ("labels: observed", {"threshold": 1}, ["0 labels added to 0 images", "hardly any: lower `threshold`"]),
        ("labels: observed", {"threshold": 0}, ["as many as `top_k` allows: raise `threshold`"]),
        ("simulate: single-positive", {"threshold": 1}, ["0 labels added", "aevlp sweep"]),
        ("", {"threshold": 0}, ["so each label added contradicts them: say `labels: observed`"]),
        (
            "",
            {"threshold": 1},
            [
                "0 labels added to 0 images",
                "there is none to add, and they are trained on as given: say `labels: observed`",
            ],
        ),
    ],
)
def test_stage_one_ends_with_what_was_added_and_what_to_do(
    tmp_path: Path, line: str, damp: dict[str, float], expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = with_constants(own(tmp_path / "data", line), **damp)
    stage_one(folder, tmp_path / "c.h5")
    said = capsys.readouterr().out
    for text in expected:
        assert text in said
    assert said.splitlines()[-1].startswith("next: ")


def test_what_is_said_to_be_added_is_what_the_cosines_give(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = with_constants(own(tmp_path / "data", "labels: observed"), threshold=0.34, top_k=1)
    (folder / "images" / "03.png").write_bytes(b"none")
    cache = open_cache(stage_one(folder, tmp_path / "c.h5", storage="float32"))
    codes = cache.codes(cached_settings(cache))
    added = [(n, c) for n, row in enumerate(codes) for c in range(3) if row[c] == 1 and cache.observed[n, c] == 0]
    assert added
    text = f"{len(added)} labels added to {len({n for n, _ in added})} images by damp, of 15 scored"
    assert text in capsys.readouterr().out


def test_train_says_which_labels_and_pseudo_labels_it_used(
    own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage_two(own_cache, tmp_path / "gpr", epochs=2, backbone="linear")
    said = capsys.readouterr().err
    assert "labels an image are given, all are used" in said
    plan = make_plan(TrainOptions(own_cache, backbone="linear"))
    assert plan.policy is not None
    codes = label(plan.cache, plan.train.rows, plan.policy.create(), 2, 0).codes  # those of the last epoch
    free = plan.cache.observed[plan.train.rows] == 0
    positives, negatives = (int((free & (codes == code)).sum()) for code in (1, -1))
    images = int((free & (codes != 0)).any(axis=1).sum())
    assert (
        f"pseudo-labels used (of damp, latest epoch): {positives} positives and {negatives} negatives, on {images} of "
        f"{len(plan.train.rows)} training images"
    ) in said
    capsys.readouterr()
    stage_two(own_cache, tmp_path / "an", loss="an", epochs=1, backbone="linear")
    assert "no pseudo-labels used: loss an reads none" in capsys.readouterr().err


def test_a_sweep_is_refused_where_nothing_is_hidden(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("sweep", own_cache) == 1
    found = capsys.readouterr().err.strip().splitlines()[-1]
    assert "every true label of" in found and "--simulate single-positive" in found and "`labels: observed`" in found


# --- inspect, and an edit of the manifest


def test_inspect_shows_the_constants_of_now_beside_the_stored_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = own(tmp_path / "data", "simulate: single-positive")
    path = stage_one(folder, tmp_path / "c.h5", storage="float32")
    capsys.readouterr()
    call("inspect", path, "--json")
    before = json.loads(capsys.readouterr().out)
    assert before["manifest_now"] is None
    assert call("inspect", path) == 0 and "manifest now" not in capsys.readouterr().out

    with_constants(folder, threshold=0.9, top_k=1)
    cache = open_cache(path)
    codes = cache.codes(replace(cached_settings(cache), threshold=0.9, top_k=1))
    read = []
    views = ScoreCache.views
    monkeypatch.setattr(ScoreCache, "views", lambda *given: read.append(given) or views(*given))
    call("inspect", path, "--json")
    assert len(read) == 1  # all counts and qualities are of one pass over the cosines
    found = json.loads(capsys.readouterr().out)
    now = found["manifest_now"]
    assert now["constants"] == {"threshold": 0.9, "top_k": 1}
    assert now["pseudo_positives"] == int((codes == 1).sum()) < found["pseudo_positives"]
    assert now["labels_added"] == int(((codes == 1) & (cache.observed == 0)).sum())
    assert {k: found[k] for k in before if k != "manifest_now"} == {
        k: v for k, v in before.items() if k != "manifest_now"
    }
    call("inspect", path)
    text = " ".join(capsys.readouterr().out.split())
    assert "manifest now" in text and "threshold 0.9, top_k 1" in text and "labels by it" in text


def test_inspect_says_that_another_grid_needs_another_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = own(tmp_path / "data")
    path = stage_one(folder, tmp_path / "c.h5")
    with_constants(folder, grid=3)
    assert call("inspect", path) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "grid 3" in text and "needs the images scored again" in text and "labels by it" not in text


def test_inspect_goes_without_a_manifest_that_is_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = own(tmp_path / "data")
    path = stage_one(folder, tmp_path / "c.h5")
    (folder / "blocks.yaml").unlink()
    assert call("inspect", path) == 0
    assert "manifest now" not in capsys.readouterr().out
