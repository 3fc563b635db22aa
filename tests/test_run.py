"""One command from what people have to a classifier: `aevlp run`, and what it leaves behind."""

import logging
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import source_shapes as shapes
from conftest import call
from source_shapes import CLASSES

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files import absent_files
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.score_cache import open_cache
from aevlp.stages.console import narrated, say
from aevlp.stages.stage_two.without_labels import POLICIES, learners

FAST = ("--clip", "scenes", "--grid", 1, "--backbone", "linear", "--epochs", 1, "--workers", 0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def labels_in(cache: Path) -> list[tuple[str, ...]]:
    """Return the labels that a cache holds, by the number in each image's name, or its place in a file."""
    opened = open_cache(cache)
    known = opened.observed == 1 if opened.truth is None else opened.truth == 1
    numbers = [int(re.findall(r"\d+", name.rpartition("/")[2])[0]) for name in opened.ids.tolist()]
    return [tuple(opened.classes[c] for c in known[row].nonzero()[0]) for row in np.argsort(numbers)]


@pytest.mark.slow
@pytest.mark.parametrize("shape", shapes.LABELLED)
def test_each_shape_becomes_a_classifier_and_its_manifest_gives_the_cache_again(
    shape: str, here: Path, capsys: pytest.CaptureFixture
) -> None:
    given = shapes.labels()
    source = shapes.LABELLED[shape](here / "pets", given).relative_to(here)
    assert call("run", source, *FAST) == 0
    said = capsys.readouterr()
    cache = next(Path("cache").glob("*.h5"))
    assert labels_in(cache) == shapes.put_in(shape, given)
    assert "40 images, 4 classes" in said.err and "aevlp predict runs/" in said.out
    [page] = Path("runs").glob("*/report.html")
    assert f"a page to look at: {page}" in said.out and 'id="quality"' in page.read_text()
    made = cache.read_bytes()
    assert call("run", cache.with_suffix(".yaml"), "--backbone", "linear", "--epochs", 1, "--workers", 0) == 0
    assert "nothing to do" in capsys.readouterr().err
    assert cache.read_bytes() == made
    assert call("run", source, *FAST) == 0  # the source itself too
    assert "nothing to do" in capsys.readouterr().err


@pytest.mark.slow
def test_images_without_labels_are_scored_and_trained_on(here: Path, capsys: pytest.CaptureFixture) -> None:
    """Scenes, whose CLIP knows the classes: what is learnt from no label ranks the truth far better than chance."""
    assert call("pseudolabel", "--dataset", "scenes", "--limit", 160, "--workers", 0) == 0
    known = open_cache("cache/scenes.h5")
    for path in known.paths.tolist():
        (here / "shots").mkdir(exist_ok=True)
        shutil.copy(here / "data/scenes" / path, here / "shots")
    damp = "damp: {temperature: 0.09, eta: 0.3, threshold: 0.2, top_k: 4, negative_ratio: 0.5}"
    classes = ("--classes", ",".join(known.classes))
    asked = ("shots", *classes, "--clip", "scenes", "--grid", 2, "--key", damp, "--workers", 0)
    assert call("run", *asked, "--backbone", "linear", "--epochs", 8, "--loss", "an-pl") == 0
    said = capsys.readouterr()
    assert "No image has a label: an-pl learns from pseudo-labels alone" in said.err
    cache = open_cache("cache/shots.h5")
    assert cache.truth is None and not cache.observed.any() and set(cache.split.tolist()) == {"train"}
    names = [Path(name).name for name in known.paths.tolist()]
    truth = dict(zip(names, known.truth, strict=True))
    positive = np.array([truth[name] for name in cache.ids.tolist()])
    assert np.mean(positive[cache.codes(load_manifest("cache/shots.yaml")["shots"].damp.settings("paper")) == 1]) > 0.7
    assert call("predict", "runs/shots-an-pl-linear-seed0", "shots", "--output", "found.csv", "--workers", 0) == 0


def test_a_loss_of_observed_labels_names_those_that_need_none(here: Path, capsys: pytest.CaptureFixture) -> None:
    shapes.pictures(here / "pets", shapes.labels(6))
    asked = ("pets", "--classes", "cat,dog", *FAST, "--loss", "an")
    assert call("run", *asked) == 1
    said = capsys.readouterr().err
    assert all(name in said for name in learners()) and "--policy damp" in said
    assert {"gpr", "an-pl", "vlpl"} <= set(learners()) and not {"an", "bce", "cap", "em"} & set(learners())


def test_what_images_and_their_model_do_not_permit_is_refused_before_anything_is_scored(
    here: Path, capsys: pytest.CaptureFixture
) -> None:
    shapes.pictures(here / "pets", shapes.labels(6))
    before = sorted(here.rglob("*"))
    for options, expected in (
        (("--loss", "an"), "no image has a label, and the loss an learns from observed ones"),
        (("--loss", "iu"), "no image has a label, and the loss iu learns from observed ones"),
        (("--loss", "bce"), "loss bce needs full labels, and cache/pets.h5 has none"),
        (("--policy", "cap"), "no image has a label, and the policy cap needs some"),
        (("--policy", "sigmoid"), "policy sigmoid reads the bias of a sigmoid-scored model"),
        (("--policy", "view-quality"), "the policy view-quality needs some"),
    ):
        assert call("run", "pets", "--classes", "cat,dog", *FAST, *options) == 1
        said = capsys.readouterr().err
        assert expected in said and said.count("error: ") == 1
        assert sorted(here.rglob("*")) == before
    (here / "labelled").mkdir()
    shutil.move(here / "pets", here / "labelled" / "cat")
    shapes.pictures(here / "labelled" / "dog", shapes.labels(6))
    assert call("run", "labelled", *FAST, "--policy", "view-quality") == 1
    assert "score the images with --store embedding" in capsys.readouterr().err
    assert not (here / "cache").exists()


def test_where_no_image_gets_a_pseudo_label_a_run_fails_and_keeps_its_scores(
    here: Path, capsys: pytest.CaptureFixture
) -> None:
    shapes.pictures(here / "pets", shapes.labels())
    asked = ("run", "pets", "--classes", "cat,dog", *FAST, "--policy")
    assert call(*asked, "global[threshold=1.0]") == 1
    said = capsys.readouterr()
    assert said.err.count("error: ") == 1 and "--set global.threshold=0.2" in said.err
    assert "cache/pets.h5: scored; nothing was trained" in said.out
    assert "a page to look at: cache/pets.report.html" in said.out and Path("cache/pets.report.html").exists()
    assert call(*asked, "vlpl[threshold=1.0]") == 1
    said = capsys.readouterr().err
    assert "is there already" in said and said.count("gives none of those") == 1


@pytest.mark.slow
def test_a_report_that_cannot_be_written_costs_no_training(here: Path, capsys: pytest.CaptureFixture) -> None:
    shapes.LABELLED["class_folders"](here / "pets", shapes.labels())
    assert call("run", "pets", *FAST) == 0
    page = next(Path("runs").glob("*/report.html"))
    page.unlink()
    page.mkdir()  # where a page should go
    capsys.readouterr()
    assert call("run", "pets", *FAST) == 0
    said = capsys.readouterr()
    assert said.err.count("no report was written") == 1 and "is a folder" in said.err
    assert "a page to look at" not in said.out and "Traceback" not in said.err


def training_without_labels(folder: Path, threshold: float) -> tuple[object, ...]:
    """Score pictures of two classes without labels, and return the command that trains on them."""
    shapes.pictures(folder / "pets", shapes.labels())
    scored = ("pets", "--classes", "cat,dog", "--clip", "scenes", "--grid", 1, "--workers", 0)
    assert call("pseudolabel", *scored, "--key", f"damp: {{threshold: {threshold}}}") == 0
    return ("train", "cache/pets.h5", "--backbone", "linear", "--epochs", 1)


def test_a_constant_that_is_set_makes_the_labels_of_a_training_without_any(
    here: Path, capsys: pytest.CaptureFixture
) -> None:
    train = training_without_labels(here, threshold=1.0)
    assert call(*train) == 1
    assert "--set damp.threshold=" in capsys.readouterr().err
    assert call(*train, "--set", "damp.threshold=0.01") == 0
    run = aevlp.open_run(next(Path("runs").iterdir()))
    # a figure against pseudo-labels is never without that word
    assert "(against pseudo-labels: no label is known)" in capsys.readouterr().out
    assert run.evaluated_by == "pseudo-labels" and "pseudo-labels" in repr(run)
    epochs = [line for line in (run.folder / "log.txt").read_text().splitlines() if "validation mAP" in line]
    assert epochs and all("against pseudo-labels" in line for line in epochs)
    assert call("runs") == 0
    shown = capsys.readouterr().out
    assert f"{100 * (run.best_map or 0):.2f}*" in shown and "* against pseudo-labels: no label is known" in shown
    (run.folder / "metrics.jsonl").write_text("")  # not finished: what it was trained from says it still
    assert aevlp.open_run(run.folder).evaluated_by == "pseudo-labels"


def test_a_policy_that_gives_no_label_names_what_learns_without_any(here: Path, capsys: pytest.CaptureFixture) -> None:
    train = training_without_labels(here, threshold=0.01)
    # damp's own labels are there to validate by: what is asked is whether the policy of this training gives any
    for options in (("--policy", "global[threshold=1.0]"), ("--loss", "vlpl", "--policy", "vlpl[threshold=1.0]")):
        capsys.readouterr()
        assert call(*train, *options) == 1
        said = capsys.readouterr().err
        assert "gives none of those to train on a pseudo-label" in said and said.count("error: ") == 1
        tried = options[-1].partition("[")[0]
        assert all(name in said for name in (*learners(), *POLICIES)) and ".threshold=0.2" in said
        others = said.partition("with --policy ")[2]
        assert not re.search(rf"\b{tried}[, ]", others), "what has just failed is not recommended"
    for policy in ("apl", "view-weights", "mime", "cap", "oracle"):
        assert call(*train, "--policy", policy) == 1
        assert f"the policy {policy} needs some: these learn from pseudo-labels alone" in capsys.readouterr().err
    assert not (here / "runs").exists()


def test_where_damp_gives_no_label_the_policy_of_the_training_validates(
    here: Path, capsys: pytest.CaptureFixture
) -> None:
    train = training_without_labels(here, threshold=1.0)
    assert call(*train) == 1
    assert "--policy 'top-k[top_k=1]'" in capsys.readouterr().err
    assert call(*train, "--policy", "top-k[top_k=1]") == 0
    assert "validated by those of top-k" in capsys.readouterr().err
    best = aevlp.open_run(next(Path("runs").iterdir())).best_map
    assert best is not None and best > 0  # against labels of damp, which are none, it is 0


def test_nothing_is_written_where_a_source_is_not_understood(here: Path, capsys: pytest.CaptureFixture) -> None:
    shapes.pictures(here / "pets", shapes.labels(6))
    for source, *options in (("pets",), ("nowhere",), ("pets", "--classes", "cat"), ("pets", "--classes", "cat,Cat")):
        for command in ("run", "pseudolabel", "check"):
            before = sorted(here.rglob("*"))
            assert call(command, source, *options) == 1
            assert capsys.readouterr().err.count("error: ") == 1
            assert sorted(here.rglob("*")) == before


def test_what_stage_two_refuses_by_name_is_refused_before_anything_is_scored(
    here: Path, capsys: pytest.CaptureFixture
) -> None:
    shapes.pictures(here / "pets", shapes.labels(6))
    (here / "fitted.json").write_text("[]")
    asked, before = ("run", "pets", "--classes", "cat,dog", *FAST), sorted(here.rglob("*"))
    for options, expected in (
        (("--loss", "grp"), "--loss: unknown loss 'grp'"),
        (("--loss", "gpr[q9=1]"), "--loss: unknown constant of loss gpr 'q9'"),
        (("--set", "gpr.q9=1"), "--set: unknown constant of loss gpr 'q9'"),
        (("--set", "gpr.q3=abc"), "--set: q3 of loss gpr must be a number"),
        (("--set", "damp.thresh=1"), "--set: unknown constant of policy damp 'thresh'"),
        (("--set", "an.q3=1"), "nothing is trained with an"),
        (("--policy", "nope"), "--policy: unknown policy 'nope'"),
        (("--policy", "damp[thresh=1]"), "--policy: unknown constant of policy damp 'thresh'"),
        (("--policy", "none.json"), "--policy: "),
        (("--policy", "fitted.json"), "--policy: "),
        (("--device", "gpu"), "--device: unknown device 'gpu'"),
        (("--backbone", "resnet51"), "--backbone: unknown backbone 'resnet51'"),
        (("--head", "linaer"), "--head: unknown head 'linaer'"),
        (("--head", "boostlu"), "--head boostlu needs a backbone with a feature map"),
        (("--loss", "gpr", "--backbone-weights", "random"), "--backbone-weights goes with a timm backbone"),
        (("--backbone", "resnet18", "--backbone-weights", "no.pt"), "--backbone-weights: no weights 'no.pt'"),
        (("--lr", "nan"), "--lr must be above 0"),
    ):
        assert call(*asked, *options) == 1
        said = capsys.readouterr().err
        assert said.startswith("error: ") and said.count("\n") == 1 and expected in said
        assert sorted(here.rglob("*")) == before


def test_weights_that_cannot_be_fetched_are_said_before_anything_is_scored(
    here: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_there(repository: str, names: tuple[str, ...]) -> Path:
        raise AevlpError(f"no {names[0]} of {repository}")

    monkeypatch.setattr(absent_files, "fetched", nothing_there)
    shapes.pictures(here / "pets", shapes.labels(6))
    before = sorted(here.rglob("*"))
    assert call("run", "pets", "--classes", "cat,dog", "--clip", "scenes", "--grid", 1, "--workers", 0) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: cannot fetch the trained weights of resnet50.tv_in1k: no model.safetensors")
    assert "pass it as --backbone-weights FILE" in said and "--backbone-weights random" in said
    assert sorted(here.rglob("*")) == before


def test_an_edited_constant_makes_other_labels_of_the_same_scores(here: Path, capsys: pytest.CaptureFixture) -> None:
    source = shapes.one_hot(here / "pets", shapes.labels())
    scored = ("--clip", "scenes", "--grid", 1, "--key", "label_columns: [cat, dog]", "--key", "damp: {threshold: 0.9}")
    assert call("pseudolabel", source, *scored, "--workers", 0) == 0
    (manifest,) = Path("cache").glob("*.yaml")
    (cache,) = Path("cache").glob("*.h5")
    before = cache.read_bytes()
    manifest.write_text(manifest.read_text().replace("threshold: 0.9", "threshold: 0.1"))
    capsys.readouterr()
    assert call("pseudolabel", manifest, "--workers", 0) == 0
    assert "no image is scored again" in capsys.readouterr().err
    assert cache.read_bytes() == before
    manifest.write_text(manifest.read_text().replace("grid: 1", "grid: 2"))
    assert call("pseudolabel", manifest, "--workers", 0) == 1
    assert "method.grid: 2, not 1" in capsys.readouterr().err


def test_what_labels_are_taken_for_may_be_said_later(here: Path, capsys: pytest.CaptureFixture) -> None:
    source = shapes.comma(here / "pets", shapes.labels())
    assert call("pseudolabel", source, "--clip", "scenes", "--grid", 1, "--workers", 0) == 0
    (manifest,), (cache,) = Path("cache").glob("*.yaml"), Path("cache").glob("*.h5")
    manifest.write_text(
        manifest.read_text().replace("    format: table\n", "    format: table\n    labels: observed\n")
    )
    train = ("train", cache, "--backbone", "linear", "--epochs", 1)
    capsys.readouterr()
    assert call(*train) == 1
    assert "was made with `labels: complete`" in capsys.readouterr().err
    assert call("cache", "append", cache, "--workers", 0) == 0
    assert call(*train) == 0 and open_cache(cache).truth is None


def test_a_name_that_is_a_folder_too_is_asked_about(here: Path, capsys: pytest.CaptureFixture) -> None:
    shapes.pictures(here / "voc", shapes.labels(6))
    assert call("run", "voc", "--classes", "cat,dog") == 1
    assert "--dataset voc, or ./voc" in capsys.readouterr().err
    assert call("pseudolabel") == 1
    assert "no SOURCE" in capsys.readouterr().err
    assert call("run", "vocs") == 1
    assert "no data set of the manifest (known are" in capsys.readouterr().err


@pytest.mark.parametrize("key", [["label_columns: [cat, dog]"], {"label_columns": ("cat", "dog")}])
def test_options_become_keys_of_the_entry(key: Any, here: Path) -> None:
    source = shapes.one_hot(here / "pets", shapes.labels())
    found = aevlp.pseudolabel(source, clip="scenes", grid=1, split_by="train=0.5,test=0.5", key=key, workers=0)
    entry = load_manifest("cache/mine.yaml")["mine"]
    assert found.classes == ["cat", "dog"]
    assert entry.split_by is not None and entry.split_by.content == {"train": 0.5, "test": 0.5}
    assert (entry.clip.model, entry.damp.grid) == ("scenes", 1)
    assert entry.default_root() == here / "pets"


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        (
            "--split-by",
            "train=0.5",
            "expected shares that make 1 together, .*, found train=0.5: say it anew as --split-by",
        ),
        (
            "--split-by",
            "80",
            "expected a share .* at most 1, as train=0.7,.*, or none, found train=80: .* --split-by",
        ),
        ("--split-by", "val=0.5,test=0.5", "expected a share of train too, as train=0.7,.*, found val=0.5,test=0.5: "),
        ("--split-by", "train=0.5,train=0.5", "each split once, or none, found 'train=0.5,train=0.5'"),
        (
            "--simulate",
            "single-positiv",
            "^error: --simulate: unknown regime 'single-positiv': known are single-positive, ",
        ),
        ("--simulate", "wrong", "^error: --simulate: the regime wrong needs rate"),
        ("--clip", "vitb32", "^error: --clip: unknown open_clip model 'vitb32': known are ViT-B-32, "),
        ("--clip", "ViT-B/32", "^error: --clip: unknown open_clip model 'ViT-B/32': its name there is ViT-B-32$"),
        ("--cache", "pets.txt", "^error: --cache: pets.txt: a cache is a .h5 file or a .parquet folder"),
        ("--split-by", "a=0.5,b=0.5", "a split is train, val or test"),
        ("--split-by", "half", "expected shares as train=0.7"),
        ("--key", "label_form", "expected a key and its value"),
        ("--key", "colour: red", "^error: --key 'colour: …': unknown key 'colour': known are "),
        (
            "--key",
            "labelcolumn: tag",
            "^error: --key 'labelcolumn: …': unknown key 'labelcolumn': known are label_column, ",
        ),
        ("--key", "damp: {grdi: 1}", "^error: --key 'damp: …': unknown key 'grdi': known are grid, "),
        ("--key", "label_form: text", "^error: --key 'label_form: …': expected 'names', .*, found 'text'"),
        ("--key", "folder: there", "^error: --key 'folder: …': .*the folder of its images is `images`"),
        ("--key", "format: voc", "is read as a table, .*, and not as --key 'format: voc'"),
        (
            "--key",
            "splits: {train: a}",
            "'splits: …' is for a folder for each class, and .*mine.csv is read as a table",
        ),
        ("--key", "a: [", "is not YAML"),
        ("--label-column", "tag", "unknown column 'tag'.*--label-column"),
        ("--image-column", "picture", "unknown column 'picture'.*--image-column"),
        ("--split-column", "part", "unknown column 'part'.*--split-column"),
        ("--classes", "cat,dog", "unknown class"),
        ("--data-root", ".", "leave --data-root out"),
        ("--dataset", "voc", "pass one of them"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(
    option: str, value: str, expected: str, here: Path, capsys: pytest.CaptureFixture
) -> None:
    source = shapes.comma(here / "pets", shapes.labels())
    assert call("pseudolabel", source, option, value) == 1
    said = capsys.readouterr().err
    assert re.search(expected, said, re.MULTILINE), said
    assert "yaml" not in said
    assert not (here / "cache").exists()


@pytest.mark.parametrize("option", ["--label-column", "--image-column", "--label-separator", "--split-column"])
def test_an_option_of_tables_is_refused_for_a_folder(option: str, here: Path, capsys: pytest.CaptureFixture) -> None:
    shapes.class_folders(here / "pets", shapes.labels())
    assert call("pseudolabel", "pets", option, ";") == 1
    said = capsys.readouterr().err
    assert said.startswith(f"error: {option} is for a table"), said
    assert said.endswith("and pets is read as a folder for each class: leave it out\n"), said
    assert not (here / "cache").exists()


def test_values_of_another_kind_than_names_and_keys_are_refused(here: Path) -> None:
    shapes.pictures(here / "shots", shapes.labels(6))
    for given, expected in (
        ({"classes": ["cat", 3]}, r"^--classes: expected a list of names, each a text, found \['cat', 3\]$"),
        (
            {"classes": "cat,dog", "key": {"prompt": Path("x")}},
            r"^key=\{'prompt': …\}: expected a text, .* found .*Path",
        ),
        ({"classes": "cat,dog", "key": {"colour": "red"}}, "^--key 'colour: …': unknown key 'colour'"),
    ):
        with pytest.raises(AevlpError, match=expected):
            aevlp.pseudolabel("shots", **given)
    assert not (here / "cache").exists()


def test_a_manifest_of_several_is_asked_about(here: Path) -> None:
    (here / "two.yaml").write_text(
        "datasets:\n" + "".join(f"  {n}: {{title: {n}, format: images, classes: [a, b]}}\n" for n in ("one", "two"))
    )
    with pytest.raises(AevlpError, match="holds 2 data sets: say which as --dataset one, two"):
        aevlp.pseudolabel("two.yaml")
    with pytest.raises(AevlpError, match="says its classes: change it there"):
        aevlp.pseudolabel("two.yaml", dataset="one", classes=list(CLASSES))


def test_a_note_is_shown_once_where_a_library_logs_too(capsys: pytest.CaptureFixture) -> None:
    root, handler = logging.getLogger(), logging.StreamHandler()
    root.addHandler(handler)
    try:
        with narrated(True):
            say("a note")
    finally:
        root.removeHandler(handler)
    assert capsys.readouterr().err.count("a note") == 1


def test_the_check_of_a_source_lists_its_faults(here: Path) -> None:
    source = shapes.comma(here / "pets", shapes.labels())
    (here / "pets" / "000.png").unlink()
    (here / "pets" / "001.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    source.write_text(source.read_text() + ",7,cat\n")
    kinds = {row["kind"] for row in aevlp.check(source)}
    assert {"missing image", "unreadable image", "bad row"} <= kinds
    assert not (here / "cache").exists()
    (here / "shots").mkdir()
    shapes.draw(here / "shots", ["a.png", "b.png", "c.png"])
    assert not aevlp.check("shots", classes="cat,dog").failed
