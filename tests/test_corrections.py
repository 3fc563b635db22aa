"""Answers take the place of observed labels: in training, evaluation, comparison and inspection, and a run keeps its own."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import stage_two

from aevlp import compare, inspect
from aevlp.pipeline.errors import AevlpError, Notice
from aevlp.pipeline.policies import create_policy
from aevlp.pipeline.policies.labelling import label
from aevlp.pipeline.review.answer_table import answer_table
from aevlp.pipeline.review.answers import Answer, AnswerStore, answers_file
from aevlp.pipeline.review.corrections import corrected, read_corrections
from aevlp.pipeline.score_cache import ScoreCache, open_cache, write_cache
from aevlp.pipeline.training.run_folder import RunFolder
from aevlp.pipeline.training.splits import has_known_label, splits
from aevlp.stages.stage_two import evaluate
from aevlp.stages.stage_two.options import TrainOptions
from aevlp.stages.stage_two.plan import make_plan
from aevlp.stages.stage_two.settings import options_of
from fakes import random_cache


def a_cache(folder: Path, unlabelled: slice | None = None) -> ScoreCache:
    """Return a cache of 30 images; unlabelled: which of them have no label, in one whose truth is not known."""
    header, rows = random_cache(rows=30, bad=0)
    if unlabelled is not None:
        rows.observed[unlabelled], rows.truth = 0, None
        header = replace(header, has_truth=False)
    write_cache(folder / "x.h5", header, [rows])
    return open_cache(folder / "x.h5")


def table(folder: Path, *answers: Answer) -> Path:
    path = folder / "answers.csv"
    path.write_text(answer_table(answers), encoding="utf-8")
    return path


def free(cache: ScoreCache, row: int) -> int:
    return int(np.flatnonzero(cache.observed[row] == 0)[0])


def test_what_is_answered_is_observed_and_all_else_as_it_was(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    seen = int(cache.observed[3].argmax())  # an observed positive, which is answered to be absent
    answers = [Answer(cache.ids[0], cache.classes[free(cache, 0)], 1), Answer(cache.ids[3], cache.classes[seen], -1)]
    skipped = Answer(cache.ids[4], cache.classes[free(cache, 4)], 0)
    found = corrected(cache, read_corrections(table(tmp_path, *answers, skipped)))
    expected = cache.observed.copy()
    expected[0, free(cache, 0)], expected[3, seen] = 1, -1
    assert (found.observed == expected).all()
    assert (found.labels("observed", [3, 0]) == expected[[3, 0]]).all()
    assert found.fingerprint == cache.fingerprint  # of the scores, which are the same
    assert found.answers_of(np.arange(30)) == (
        "2 labels answered in review: 1 present, 1 absent, 1 of them against what was observed"
    )
    assert found.answers_of(np.arange(2)) == (
        "1 label answered in review: 1 present, 0 absent; 1 answer about images held out to validate or test by"
    )


def test_pseudo_labels_are_made_with_the_answers(tmp_path: Path) -> None:
    """DAMP's gate reads observed labels: the codes are those of a cache that was scored with the answers as labels."""
    cache = a_cache(tmp_path)
    rows = np.arange(len(cache))
    answers = [Answer(cache.ids[row], cache.classes[free(cache, row)], 1) for row in range(10)]
    found = corrected(cache, read_corrections(table(tmp_path, *answers)))
    (tmp_path / "other").mkdir()
    header, content = random_cache(rows=30, bad=0)
    content.observed = found.observed
    write_cache(tmp_path / "other" / "y.h5", header, [content])
    constants = {"temperature": 0.3, "eta": 0.9, "threshold": 0.2, "top_k": 3, "negative_ratio": 0.3}
    policy = create_policy("damp", **constants)
    codes = [label(of, rows, policy).codes for of in (cache, found, open_cache(tmp_path / "other" / "y.h5"))]
    assert (codes[1] == codes[2]).all() and (codes[0] != codes[1]).any()


def test_the_file_of_a_review_and_a_table_say_the_same(tmp_path: Path) -> None:
    answers = [Answer("image_0001.jpg", "class_2", 1, 1001), Answer("image_0000.jpg", "class_1", -1, 1000)]
    with AnswerStore(answers_file(tmp_path / "x.h5")) as store:
        store.give([Answer("image_0001.jpg", "class_2", -1, 1001), *answers, Answer("image_0002.jpg", "class_1", 0)])
        stored = read_corrections(store.path)
    assert stored.record == read_corrections(table(tmp_path, *reversed(answers))).record
    assert stored.record["answers"] == 2


def test_answers_about_other_images_are_said_and_about_other_classes_refused(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    here = Answer(cache.ids[0], cache.classes[free(cache, 0)], 1, 1000)
    with pytest.warns(Notice, match="1 answer of .* about images that .* does not hold"):
        found = corrected(cache, read_corrections(table(tmp_path, here, Answer("elsewhere.jpg", "class_1", 1))))
    assert found.observed[0, free(cache, 0)] == 1
    with pytest.raises(AevlpError, match=r"answers about zebra, which .* has no class for"):
        corrected(cache, read_corrections(table(tmp_path, here, Answer(cache.ids[0], "zebra", 1))))
    with pytest.raises(AevlpError, match=r"none of the images .* first elsewhere\.jpg"):
        corrected(cache, read_corrections(table(tmp_path, Answer("elsewhere.jpg", "class_1", 1))))


def test_an_answer_about_another_picture_of_that_name_is_left_out(tmp_path: Path) -> None:
    cache = a_cache(tmp_path)
    answers = [Answer(cache.ids[row], cache.classes[free(cache, row)], 1, 1000) for row in (0, 1)]  # image 1 has 1001
    with pytest.warns(Notice, match="another size than when it was answered, first image_0001"):
        found = corrected(cache, read_corrections(table(tmp_path, *answers)))
    assert (found.observed != cache.observed).sum() == 1


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.csv", None, "no file of answers"),
        ("x.review.sqlite", b"", "holds no answer yet"),
        ("a.csv", b"image,class,answer\na.jpg,cat,skip\n", "holds no answer yet"),
        ("a.txt", b"a.jpg cat yes", "expected a file of aevlp review"),
    ],
)
def test_what_is_no_file_of_answers(tmp_path: Path, name: str, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(AevlpError, match=said):
        read_corrections(tmp_path / name)


def test_answers_move_no_image_into_the_evaluation(tmp_path: Path) -> None:
    """Where the truth is unknown: an image of which one class was answered would count as showing none of the others."""
    cache = a_cache(tmp_path, slice(None, None, 2))
    answers = [Answer(cache.ids[row], "class_1", 1 if row % 4 else -1) for row in range(0, 30, 2)]
    found = corrected(cache, read_corrections(table(tmp_path, *answers)))
    assert (has_known_label(found) == has_known_label(cache)).all()
    before, after = splits(cache, 0.2), splits(found, 0.2)
    for part, same in zip(before, after, strict=True):
        assert (part.rows == same.rows).all()


def test_answers_are_the_labels_of_images_that_had_none(tmp_path: Path) -> None:
    cache = a_cache(tmp_path, slice(None))
    answers = [Answer(cache.ids[row], "class_1", 1 if row % 2 else -1) for row in range(30)]
    found = corrected(cache, read_corrections(table(tmp_path, *answers)))
    assert has_known_label(found).tolist() == [bool(row % 2) for row in range(30)]


def some(cache: ScoreCache) -> list[Answer]:
    train = np.flatnonzero(cache.split == "train").tolist()
    assert cache.truth is not None
    return [
        Answer(cache.ids[row], cache.classes[free(cache, row)], 1 if cache.truth[row, free(cache, row)] else -1)
        for row in train
    ]


def test_a_run_trains_by_the_answers_keeps_them_and_is_evaluated_with_them(cache_path: Path, tmp_path: Path) -> None:
    cache = open_cache(cache_path)
    file = table(tmp_path, *some(cache))
    plan = make_plan(TrainOptions(cache_path, backbone="linear", corrections=file, epochs=1))
    assert (plan.cache.observed != cache.observed).any()
    plain = stage_two(cache_path, tmp_path / "plain", backbone="linear", epochs=1)
    run = stage_two(cache_path, tmp_path / "run", backbone="linear", epochs=1, corrections=file)
    first = [json.loads((of / "metrics.jsonl").read_text().splitlines()[0])["loss"] for of in (plain, run)]
    assert first[0] != first[1]
    said = json.loads((run / "settings.json").read_text())["corrections"]
    assert said == read_corrections(file).record == read_corrections(run / "corrections.csv").record
    assert "labels answered in review" in (run / "log.txt").read_text()
    evaluate.evaluate(run, split="val")

    file.write_text(answer_table(some(cache)[:-1]))  # one more answer, or one less: the run keeps those of then
    assert options_of(RunFolder(run)).corrections == run / "corrections.csv"
    with pytest.raises(AevlpError, match="--corrections"):
        stage_two(cache_path, run, backbone="linear", epochs=1, corrections=file)
    with pytest.raises(AevlpError, match="started differently"):
        stage_two(cache_path, run, backbone="linear", epochs=1)
    (run / "corrections.csv").unlink()
    with pytest.raises(AevlpError, match=r"has lost corrections\.csv"):
        evaluate.evaluate(run, split="val")


def test_a_comparison_is_of_trainings_with_the_same_answers(cache_path: Path, tmp_path: Path) -> None:
    cache = open_cache(cache_path)
    file = table(tmp_path, *some(cache))
    options = {"losses": ["an"], "seeds": 1, "backbone": "linear", "epochs": 1}
    found = compare(cache_path, runs=tmp_path / "runs", corrections=file, **options)
    assert found.record["corrections"] == read_corrections(file).record
    with pytest.raises(AevlpError, match=r"--corrections|corrections"):
        compare(cache_path, runs=tmp_path / "runs", **options)


def test_inspect_counts_by_the_answers(cache_path: Path, tmp_path: Path) -> None:
    cache = open_cache(cache_path)
    answers = some(cache)
    found = inspect(cache_path, corrections=table(tmp_path, *answers))
    before = inspect(cache_path)
    yes = sum(answer.code == 1 for answer in answers)
    assert found.to_json()["observed_positives"] == before.to_json()["observed_positives"] + yes
