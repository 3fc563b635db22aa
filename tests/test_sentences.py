"""aevlp cache sentences: text features beside a cache, and trainings without any label that read them or need none."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import source_shapes as shapes
from conftest import call
from sklearn.metrics import average_precision_score

import aevlp
from aevlp.pipeline.clip.prompts import imagenet_templates
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.evaluation.teachers import teacher_scores
from aevlp.pipeline.runtime.device import find_device
from aevlp.pipeline.score_cache import open_cache
from aevlp.pipeline.score_cache.sentences import sentences_file, sentences_of, write_sentences
from aevlp.stages.cache_origin import scoring_encoder
from aevlp.stages.stage_two.labels_plan import PolicyPlan
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan


@pytest.fixture
def copy(cache_path: Path, tmp_path: Path) -> Path:
    """A copy of the blocks' cache, beside which tests write."""
    return Path(shutil.copy(cache_path, tmp_path / "blocks.h5"))


def test_features_are_the_clip_s_own(copy: Path, blocks: Path) -> None:
    made = aevlp.sentences(copy)
    cache = open_cache(copy)
    assert made.path == copy.with_name("blocks.sentences.npz") and not made.alone
    assert list(made.texts) == ["red and green", "red and blue", "green and blue"]
    found = sentences_of(cache)
    np.testing.assert_array_equal(found.members, [[1, 1, 0], [1, 0, 1], [0, 1, 1]])
    encoder = scoring_encoder(cache.provenance, blocks, find_device("cpu"))

    def feature(*texts: str) -> np.ndarray:
        every = encoder.encode_classes([[text] for text in texts]).astype(np.float64)
        mean = (every / np.linalg.norm(every, axis=1, keepdims=True)).mean(axis=0)
        return mean / np.linalg.norm(mean)

    np.testing.assert_allclose(found.bare[1], feature("green"), atol=1e-5)
    np.testing.assert_allclose(found.compound[2], feature("green and blue"), atol=1e-5)
    templates = imagenet_templates()
    assert len(templates) == 80 and len(set(templates)) == 80 and templates[0] == "a bad photo of a {}."
    np.testing.assert_allclose(found.ensemble[2], feature(*(t.replace("{}", "blue") for t in templates)), atol=1e-5)


def sparc_plan(cache: Path) -> PolicyPlan:
    found = make_plan(TrainOptions(cache, policy="sparc", backbone="linear")).policy
    assert found is not None
    return found


def test_compounds_are_chosen_by_labels_by_truth_or_in_a_file(copy: Path, tmp_path: Path) -> None:
    assert {"red and green", "green and blue"} <= set(aevlp.sentences(copy, compounds="truth").texts)
    assert aevlp.sentences(copy, compounds="labels").texts
    file = tmp_path / "sentences.txt"
    file.write_text("A red thing beside two Greens.\nReds alone\n")
    made = aevlp.sentences(copy, compounds=str(file))
    assert list(made.texts) == ["A red thing beside two Greens.", "Reds alone"] and list(made.alone) == ["blue"]
    np.testing.assert_array_equal(sentences_of(open_cache(copy)).members, [[1, 1], [1, 0], [0, 0]])
    assert not sparc_plan(copy).reads_truth
    aevlp.sentences(copy, compounds="truth")
    assert sparc_plan(copy).reads_truth  # set apart in tables, as what is fitted to full labels is
    first = sentences_of(open_cache(copy)).fingerprint
    aevlp.sentences(copy, compounds=str(file))
    assert sentences_of(open_cache(copy)).fingerprint != first
    file.write_text("nothing of interest\n")
    with pytest.raises(AevlpError, match="no sentence mentions a class"):
        aevlp.sentences(copy, compounds=str(file))
    for asked in ("nowhere.txt", "truths"):
        with pytest.raises(
            AevlpError, match=f"{asked}: expected all, labels, truth, or a text file .* no file {asked}$"
        ):
            aevlp.sentences(copy, compounds=asked)


def test_clip_without_training_is_judged_by_sparc_s_own_scores(copy: Path) -> None:
    aevlp.sentences(copy)
    cache = open_cache(copy)
    rows, found = np.flatnonzero(cache.split == "test"), sentences_of(cache)
    assert cache.truth is not None
    [scores] = teacher_scores(cache, rows, [sparc_plan(copy).create()])
    images = cache.embedding(rows).mean(axis=1).astype(np.float64)
    images /= np.linalg.norm(images, axis=1, keepdims=True)
    expected = aevlp.sparc_scores(
        *(images @ text.T for text in (found.ensemble, found.bare, found.compound)), found.members
    )
    np.testing.assert_allclose(scores["multi-focus"], expected, atol=1e-3)
    record = aevlp.compare(
        copy, losses=["gpr"], policies=["damp", "sparc"], seeds=1, backbone="linear", epochs=1, workers=0,
        runs=copy.with_name("runs"), progress=False,
    ).to_json()  # fmt: skip
    [row] = [row for row in record["teachers"] if row["title"] == "CLIP, sparc"]
    assert row["mean"] == pytest.approx(float(average_precision_score(cache.truth[rows], expected)), abs=1e-6)
    [of_sparc] = [method for method in record["methods"] if method["policy"] == "sparc"]
    assert of_sparc["teacher"] == "CLIP, sparc"


def test_sparc_says_what_to_run_before_anything_is_trained(
    copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = ("train", copy, "--policy", "sparc", "--backbone", "linear", "--epochs", 1, "--run", tmp_path / "run")
    assert call(*train) == 1
    assert f"run aevlp cache sentences {copy} first" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()
    assert call("cache", "sentences", copy) == 0
    said = capsys.readouterr().out
    assert "3 sentences, no image was looked at" in said and f"next: aevlp train {copy} --policy sparc" in said
    assert call(*train) == 0
    run = aevlp.open_run(tmp_path / "run")
    assert run.settings["sentences_sha256"] == sentences_of(open_cache(copy)).fingerprint
    (tmp_path / "other.txt").write_text("red beside blue\n")
    assert call("cache", "sentences", copy, "--compounds", tmp_path / "other.txt") == 0
    assert call(*train) == 1  # other sentences make other labels
    assert "sentences_sha256" in capsys.readouterr().err


def test_a_file_of_other_classes_or_another_clip_or_a_damaged_one_is_refused(copy: Path) -> None:
    aevlp.sentences(copy)
    cache, file = open_cache(copy), sentences_file(copy)
    found = sentences_of(cache)
    for change, words in (
        ({"classes": ("red", "green", "grey")}, "is of other classes than"),
        ({"weights_sha256": "0" * 64}, "is of another CLIP than"),
    ):
        write_sentences(file, type(found)(**{**vars(found), **change}))
        with pytest.raises(AevlpError, match=f"{words}.*run aevlp cache sentences"):
            sentences_of(cache)
    for content in (b"", b"PK\x03\x04 cut off", b"text"):
        file.write_bytes(content)
        with pytest.raises(AevlpError, match=r"cannot read .*: run aevlp cache sentences .* to make it anew") as caught:
            sentences_of(cache)
        assert "\n" not in str(caught.value)


# Without any label


@pytest.fixture(scope="module")
def pets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of pictures of two classes of which no label is known; tests do not change it."""
    folder = tmp_path_factory.mktemp("pets")
    shapes.pictures(folder / "pets", shapes.labels(24))
    scored = {"classes": "circle,star", "clip": "scenes", "grid": 1, "workers": 0, "cache": folder / "pets.h5"}
    return aevlp.pseudolabel(folder / "pets", **scored).path


@pytest.mark.parametrize("policy", ["ccd", "sparc", "cdul"])
@pytest.mark.parametrize("loss", ["gpr", "ccd", "cdul"])
def test_a_policy_trains_where_no_label_is_known(pets: Path, tmp_path: Path, policy: str, loss: str) -> None:
    if policy == "sparc":
        aevlp.sentences(pets)
    asked = {"ccd": "ccd[warmup_epoch=1,threshold=0.01]", "sparc": "sparc[centre=0]", "cdul": "cdul[threshold=0.01]"}
    run = aevlp.train(
        pets,
        loss=loss,
        policy=asked[policy],
        backbone="linear",
        epochs=3,
        run=tmp_path / "run",
    )
    assert run.evaluated_by == "pseudo-labels" and len(run.history) == 3
    assert all(np.isfinite(row["loss"]) for row in run.history)
    assert re.fullmatch(policy, run.settings["policy"]["name"])


def test_a_run_of_a_folder_makes_the_sentences_that_its_policy_reads(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shapes.pictures(folder / "pets", shapes.labels(12))
    done = aevlp.run(
        "pets",
        classes="circle,star",
        clip="scenes",
        grid=1,
        workers=0,
        backbone="linear",
        epochs=1,
        policy="sparc[centre=0]",
    )
    assert isinstance(done, aevlp.Run) and Path("cache/pets.sentences.npz").is_file()
