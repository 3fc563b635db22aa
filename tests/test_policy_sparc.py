"""SPARC's scores, sentences and matching against the released program's arrays and slow loops, and the policy."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

import aevlp
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.policies import Known, create_policy
from aevlp.pipeline.policies.compounds import all_pairs, members_of, pairs_and_triplets, sentences
from aevlp.pipeline.policies.mentions import JOINED_BY_VOC, member_matrix, mentioned
from aevlp.pipeline.policies.sparc import Sparc, fused_scores, sparc_scores
from aevlp.pipeline.score_cache.sentences import Sentences
from goldens import load

GOLDEN = load("sparc")
SCORES, MATCHES, PAIRS = ([name for name in GOLDEN if name.startswith(of)] for of in ("scores", "match", "pairs"))
CONSTANTS: dict[str, Any] = {"top_k": 2, "negative_ratio": 0.25}
KEYS = ("ensemble", "simple", "compound", "members")


def text_of(value: np.ndarray) -> Any:
    return json.loads(str(value))


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_the_released_program_s(name: str) -> None:
    case = GOLDEN[name]
    found = sparc_scores(*(case[key] for key in KEYS))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, case["final"], rtol=1e-7)
    wide = {key: case[key].astype(np.float64) for key in KEYS[:3]}
    members = case["members"].astype(bool)
    _, weights = fused_scores(
        wide["ensemble"], wide["simple"], members.sum(axis=1), lambda c: wide["compound"][:, members[c]], range(99)
    )
    for expected, weight in zip(case["weights"], weights, strict=True):
        np.testing.assert_allclose(weight, expected[: len(weight)], rtol=1e-7, atol=1e-12)
        assert not expected[len(weight) :].any()


@pytest.mark.parametrize("name", MATCHES)
def test_sentences_mention_the_classes_of_the_released_program(name: str) -> None:
    case = GOLDEN[name]
    names, joined = text_of(case["classes"]), JOINED_BY_VOC if case["is_voc"] else ()
    found = [mentioned(sentence, names, joined) for sentence in text_of(case["prompts"])]
    assert found == text_of(case["matches"])


@pytest.mark.parametrize("name", PAIRS)
def test_compounds_are_those_of_the_released_program(name: str) -> None:
    case = GOLDEN[name]
    pairs, triplets = pairs_and_triplets(
        case["labels"], float(case["pair_threshold"]), float(case["triplet_threshold"])
    )
    np.testing.assert_array_equal(pairs, case["pairs"])
    np.testing.assert_array_equal(triplets, case["triplets"])
    assert sentences(text_of(case["names"]), [*pairs, *triplets]) == text_of(case["prompts"])
    uncovered = np.flatnonzero(~members_of([*pairs, *triplets], case["labels"].shape[1]).any(axis=1))
    np.testing.assert_array_equal(uncovered, case["uncovered"])


def given_cosines(seed: int, n: int = 14, classes: int = 4, count: int = 6) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    shared = random.normal(size=(n, 1)) * 0.05
    cosines = [0.2 + shared + random.normal(size=(n, width)) * 0.05 for width in (classes, classes, count)]
    members = random.integers(0, 2, (classes, count))
    members[0] = 0  # a class that no sentence mentions
    return [*cosines, members]


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_scores_equal_a_loop(seed: int) -> None:
    ensemble, simple, compound, members = given_cosines(seed)
    found = aevlp.sparc_scores(ensemble, simple, compound, members)
    n, classes = ensemble.shape

    def standard(values: np.ndarray, by: np.ndarray) -> np.ndarray:
        out = values.copy()
        for i in range(n):
            out[i] = (values[i] - sum(by[i]) / classes) / (
                sum((by[i] - sum(by[i]) / classes) ** 2) / (classes - 1)
            ) ** 0.5
        for j in range(out.shape[1]):
            out[:, j] -= sum(out[:, j]) / n
            out[:, j] /= (sum(out[:, j] ** 2) / (n - 1)) ** 0.5
        return out

    own, beside = standard(ensemble, ensemble), standard(compound, simple)
    np.testing.assert_allclose(found[:, 0], own[:, 0], rtol=1e-9)
    for c in range(1, classes):
        columns = np.array([[*sorted(beside[i, members[c] == 1]), own[i, c]] for i in range(n)])
        axis = np.asarray(PCA(1).fit(columns).components_)[0]
        undecided = abs(axis.mean()) < 1e-12  # one sentence, which speaks against the class's own score
        axis = -axis if (axis[-1] if undecided else axis.mean()) < 0 else axis
        np.testing.assert_allclose(
            found[:, c], (columns @ (axis / abs(axis).sum()) + own[:, c]) / 2, rtol=1e-6, atol=1e-9
        )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_what_all_scores_of_an_image_have_in_common_does_not_count(seed: int) -> None:
    ensemble, simple, compound, members = given_cosines(seed)
    random = np.random.default_rng(seed)
    offset, scale = random.normal(size=(14, 1)), random.uniform(0.5, 2, (14, 1))
    moved = aevlp.sparc_scores(ensemble * scale + offset, simple * scale + offset, compound * scale + offset, members)
    np.testing.assert_allclose(moved, aevlp.sparc_scores(ensemble, simple, compound, members), rtol=1e-5, atol=1e-7)


def changed(place: int, value: Any) -> list[Any]:
    arguments: list[Any] = list(given_cosines(0))
    arguments[place] = value(arguments[place])
    return arguments


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (0, lambda a: a[0], r"ensemble must be \(images, classes\), found shape \(4,\)"),
        (1, lambda a: a[:, :3], r"simple must be \(images, classes\), here \(14, 4\), found shape \(14, 3\)"),
        (2, lambda a: a[:5], r"compound must be \(images, sentences\), here \(14, any\), found shape \(5, 6\)"),
        (2, lambda a: np.where(a == a[3, 2], np.nan, a), r"compound must be finite numbers, found nan at \(3, 2\)"),
        (3, lambda a: a[:, :2], r"members must be \(classes, sentences\), here \(4, 6\), found shape \(4, 2\)"),
        (3, lambda a: a * 2, "members must be 0 and 1, found 2"),
        (0, lambda a: np.where(np.arange(14)[:, None] == 3, 0.5, a), "ensemble: image 3 has one cosine with all classes"),
    ],
)  # fmt: skip
def test_what_is_no_input_is_said_in_a_line(place: int, value: Any, words: str) -> None:
    with pytest.raises(AevlpError, match=words) as caught:
        sparc_scores(*changed(place, value))
    assert "\n" not in str(caught.value)


def test_a_class_in_as_many_sentences_as_there_are_images_is_a_mistake() -> None:
    ensemble, simple, compound, _ = given_cosines(0, n=7)
    members = np.ones((4, 6), dtype=np.int8)
    with pytest.raises(AevlpError, match="class 0 is in 6, so at least 8 images are expected, found 7"):
        sparc_scores(ensemble, simple, compound, members)
    with pytest.raises(AevlpError, match="2 images and 2 classes at least, found 1 and 4"):
        sparc_scores(ensemble[:1], simple[:1], compound[:1], members)
    ensemble, simple, compound, _ = given_cosines(0, n=8)
    assert np.isfinite(sparc_scores(ensemble, simple, compound, members)).all()


# Sentences


def test_a_name_in_a_longer_one_is_not_mentioned() -> None:
    names = ["dog", "hot dog", "bus"]
    assert mentioned("Two hot-dogs, please.", names) == ["hot dog"]
    assert mentioned("hot dogs for the dog", names) == ["hot dog", "dog"]
    assert mentioned("BUSES", names) == ["bus"]
    with pytest.raises(AevlpError, match="lower-case letters and single blanks, found 'Dog'"):
        mentioned("a dog", ["Dog"])


def test_members_are_found_for_names_of_any_spelling() -> None:
    members = member_matrix(["a Hot Dog and a t.v.", "nothing"], ["hot_dog", "T.V.", "cat"])
    np.testing.assert_array_equal(members, [[1, 0], [1, 0], [0, 0]])
    with pytest.raises(AevlpError, match="'12' has no letter from a to z"):
        member_matrix(["a"], ["cat", "12"])
    with pytest.raises(AevlpError, match="'cat_1' and 'cat 2' are the same in a sentence"):
        member_matrix(["a"], ["cat_1", "cat 2"])


def test_all_pairs_mention_each_class_once_with_each_other() -> None:
    pairs = all_pairs(4)
    assert len(pairs) == 6 and (members_of(pairs, 4).sum(axis=1) == 3).all()
    assert sentences(["a", "b", "c", "d"], [(0, 1), (1, 2, 3)]) == ["a and b", "b, c, and d"]


def test_classes_that_are_nowhere_are_in_no_pair() -> None:
    labels = np.zeros((5, 3), dtype=np.int8)
    assert pairs_and_triplets(labels) == ([], [])
    labels[:, :2] = 1
    assert pairs_and_triplets(labels) == ([(0, 1)], [])


# The policy


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def known_of(seed: int, n: int = 30, classes: int = 5) -> Known:
    random = np.random.default_rng(seed)
    pairs = all_pairs(classes)
    names = tuple("abcde"[:classes])
    features = [unit(random.normal(size=(count, 16))) for count in (classes, classes, len(pairs))]
    made = Sentences(names, "0" * 64, "all", tuple(sentences(names, pairs)), members_of(pairs, classes), *features)
    nothing = np.zeros((n, classes), dtype=np.float32)
    observed = random.choice(np.array([0, 0, 0, 1, -1], dtype=np.int8), (n, classes))
    embedding = unit(random.normal(size=(n, 16)))
    return Known(observed=observed, final=nothing, ranking=nothing, embedding=embedding, sentences=made)


def test_it_labels_by_the_fused_scores_through_a_logistic() -> None:
    given = known_of(0)
    assert given.sentences is not None and given.embedding is not None
    images = given.embedding.astype(np.float64)
    texts = given.sentences
    z = sparc_scores(images @ texts.ensemble.T, images @ texts.bare.T, images @ texts.compound.T, texts.members)
    labels = create_policy("sparc", **CONSTANTS, centre=1.0, steepness=3.0)(given)
    unknown = given.observed == 0
    np.testing.assert_allclose(labels.scores[unknown], (1 / (1 + np.exp(-3 * (z - 1))))[unknown], rtol=1e-4)
    assert (labels.scores[given.observed == 1] == 1).all() and (labels.scores[given.observed == -1] == 0).all()
    assert labels.codes.dtype == np.int8 and (labels.codes == 1).sum(axis=1).max() <= 2
    positives = (labels.codes == 1) & unknown
    assert positives.any() and (z[positives] >= 1 - 1e-6).all()


def test_the_same_images_are_fused_once(monkeypatch: pytest.MonkeyPatch) -> None:
    given, policy, calls = known_of(0), create_policy("sparc", **CONSTANTS), []
    first = policy(given)
    monkeypatch.setattr("aevlp.pipeline.policies.sparc.fused_scores", lambda *_: calls.append(1))
    np.testing.assert_array_equal(policy(given).scores, first.scores)
    assert not calls


def test_classes_whose_sentences_count_against_them_are_named() -> None:
    policy = create_policy("sparc", **CONSTANTS)
    assert policy.notes(list("abcde")) == []  # type: ignore[attr-defined]
    policy(known_of(0))  # unrelated directions: some weights are negative
    (line,) = policy.notes(list("abcde"))  # type: ignore[attr-defined]
    assert line.startswith("policy sparc: of ")


def test_fewer_images_than_sentences_are_one_line_with_the_class() -> None:
    with pytest.raises(AevlpError, match="class a is in 4, so at least 6 images are expected, found 5"):
        create_policy("sparc", **CONSTANTS)(known_of(0, n=5))


@pytest.mark.parametrize(
    ("constant", "value"), [("centre", float("nan")), ("steepness", 0.0), ("threshold", 2.0), ("top_k", 0)]
)
def test_a_constant_out_of_range_is_a_mistake(constant: str, value: float) -> None:
    with pytest.raises(AevlpError, match=constant):
        Sparc(**(CONSTANTS | {constant: value}))
