"""The words and sentences of each class, and what the text tower makes of several sentences."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aevlp.pipeline.clip.encoder import ClipEncoder, ClipSource
from aevlp.pipeline.clip.prompts import attribute_name, class_names, class_prompts
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.manifest.load import load_manifest

NAMES = st.lists(st.text(min_size=1, max_size=8), max_size=5)
WORDS = st.lists(st.lists(st.text(max_size=8), min_size=1, max_size=3), max_size=4)
TEMPLATES = st.lists(st.text(max_size=8).map(lambda s: s.replace("{", "").replace("}", "")), min_size=1, max_size=3)

# The attributes of one word, whose second piece holds the value again: as published, and without the slip.
ONE_WORD = {
    "has_size::large_(16_-_32_in)": ("large size::large", "large size"),
    "has_size::small_(5_-_9_in)": ("small size::small", "small size"),
    "has_size::very_large_(32_-_72_in)": ("very large size::very", "very large size"),
    "has_size::medium_(9_-_16_in)": ("medium size::medium", "medium size"),
    "has_size::very_small_(3_-_5_in)": ("very small size::very", "very small size"),
    "has_shape::upright-perching_water-like": (
        "upright-perching water-like shape::upright-perching",
        "upright-perching water-like shape",
    ),
    "has_shape::chicken-like-marsh": ("chicken-like-marsh shape::chicken-like-marsh", "chicken-like-marsh shape"),
    "has_shape::long-legged-like": ("long-legged-like shape::long-legged-like", "long-legged-like shape"),
    "has_shape::duck-like": ("duck-like shape::duck-like", "duck-like shape"),
    "has_shape::owl-like": ("owl-like shape::owl-like", "owl-like shape"),
    "has_shape::gull-like": ("gull-like shape::gull-like", "gull-like shape"),
    "has_shape::hummingbird-like": ("hummingbird-like shape::hummingbird-like", "hummingbird-like shape"),
    "has_shape::pigeon-like": ("pigeon-like shape::pigeon-like", "pigeon-like shape"),
    "has_shape::tree-clinging-like": ("tree-clinging-like shape::tree-clinging-like", "tree-clinging-like shape"),
    "has_shape::hawk-like": ("hawk-like shape::hawk-like", "hawk-like shape"),
    "has_shape::sandpiper-like": ("sandpiper-like shape::sandpiper-like", "sandpiper-like shape"),
    "has_shape::upland-ground-like": ("upland-ground-like shape::upland-ground-like", "upland-ground-like shape"),
    "has_shape::swallow-like": ("swallow-like shape::swallow-like", "swallow-like shape"),
    "has_shape::perching-like": ("perching-like shape::perching-like", "perching-like shape"),
}


def cub_classes() -> tuple[str, ...]:
    classes = load_manifest()["cub"].classes
    assert isinstance(classes, tuple)
    return classes


# --- names


def test_a_name_has_spaces_for_underscores() -> None:
    assert class_names(["traffic_light", "cat"]) == [["traffic light"], ["cat"]]


@given(NAMES)
def test_plain_names_are_the_classes_in_order(names: list[str]) -> None:
    assert class_names(names) == [[name.replace("_", " ")] for name in names]
    assert class_names(names, compat="published") == class_names(names)


def test_a_natural_name_replaces_the_class_as_it_is_and_synonyms_follow() -> None:
    classes = ["tvmonitor", "dog", "x_y"]
    natural = {"tvmonitor": "tv monitor", "x_y": "x_y kept"}
    synonyms = {"tvmonitor": ("television", "screen_set"), "dog": ("hound",)}
    assert class_names(classes, "plain", natural, synonyms) == [
        ["tv monitor", "television", "screen_set"],
        ["dog", "hound"],
        ["x_y kept"],
    ]
    assert class_names(classes, "plain", natural) == [["tv monitor"], ["dog"], ["x_y kept"]]


def test_a_synonym_that_says_the_same_is_not_said_twice() -> None:
    assert class_names(["tv_set"], synonyms={"tv_set": ("tv set", "telly", "telly")}) == [["tv set", "telly"]]


def test_the_published_rules_know_neither_natural_names_nor_synonyms() -> None:
    words = ({"tvmonitor": "tv monitor"}, {"dog": ("hound",)})
    assert class_names(["tvmonitor", "dog"], "plain", *words, compat="published") == [["tvmonitor"], ["dog"]]


@pytest.mark.parametrize("compat", ["paper", "published"])
def test_words_for_no_class_are_a_mistake_that_lists_the_nearest(compat: str) -> None:
    classes = ["diningtable", "pottedplant", "tvmonitor"]
    with pytest.raises(AevlpError, match=r"^unknown class in natural_names 'tv_monitor': known are tvmonitor, "):
        class_names(classes, "plain", {"tv_monitor": "tv monitor"}, compat=compat)
    with pytest.raises(AevlpError, match=r"^unknown class in synonyms 'plant': known are pottedplant, "):
        class_names(classes, "plain", None, {"plant": ("flower",)}, compat)


# --- CUB's names


def test_the_packaged_attributes_are_those_of_the_data_set() -> None:
    classes = cub_classes()
    assert len(classes) == len(set(classes)) == 312
    groups = [name.partition("::")[0] for name in classes]
    assert len(set(groups)) == 28
    assert sum(a != b for a, b in pairwise(groups)) == 27  # each group stands together
    assert (classes[0], classes[-1]) == ("has_bill_shape::curved_(up_or_down)", "has_wing_pattern::multi-colored")


def test_the_published_slip_is_in_the_names_of_size_and_shape_exactly() -> None:
    classes = cub_classes()
    published, paper = (
        [words[0] for words in class_names(classes, "attribute", compat=compat)] for compat in ("published", "paper")
    )
    found = {name: both for name, *both in zip(classes, published, paper, strict=True) if len(set(both)) > 1}
    assert found == {name: list(both) for name, both in ONE_WORD.items()}
    assert {name for name, words in zip(classes, published, strict=True) if "::" in words} == set(ONE_WORD)


@pytest.mark.parametrize("compat", ["paper", "published"])
def test_the_names_of_all_attributes_follow_the_rule(compat: str) -> None:
    for attribute, (name,) in zip(cub_classes(), class_names(cub_classes(), "attribute", compat=compat), strict=True):
        value = re.sub(r"_\([^()]*\)$", "", attribute.split("::")[1]).replace("_", " ")
        match = re.match(r"has_([^_]*)", attribute)
        assert match
        assert name == f"{value} {match[1] if compat == 'published' else match[1].split(':')[0]}"


@pytest.mark.parametrize("compat", ["paper", "published"])
def test_no_two_attributes_have_one_name(compat: str) -> None:
    names = [words[0] for words in class_names(cub_classes(), "attribute", compat=compat)]
    assert len(set(names)) == 312
    assert not any("_" in name or "(" in name or name != name.strip() for name in names)


@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("has_bill_shape::curved_(up_or_down)", "curved bill"),
        ("has_bill_length::about_the_same_as_head", "about the same as head bill"),
        ("has_upper_tail_color::blue", "blue upper"),
        ("has_upperparts_color::blue", "blue upperparts"),
        ("has_under_tail_color::grey", "grey under"),
        ("has_tail_shape::forked_tail", "forked tail tail"),
        ("has_wing_shape::rounded-wings", "rounded-wings wing"),
    ],
)
def test_an_attribute_of_several_words_is_named_alike_by_both_rules(attribute: str, name: str) -> None:
    assert attribute_name(attribute, "published") == attribute_name(attribute) == name


@pytest.mark.parametrize("text", ["blue", "has_wing_color", "has_wing_color::", "wing::blue", "::blue", ""])
def test_a_class_that_is_no_attribute_is_a_mistake(text: str) -> None:
    with pytest.raises(AevlpError, match=f"the class '{text}' is no attribute: expected has_<attribute>::<value>"):
        class_names([text], "attribute")


def test_an_attribute_may_have_a_natural_name_and_synonyms() -> None:
    classes = ["has_upper_tail_color::blue", "has_size::large_(16_-_32_in)"]
    natural, synonyms = {classes[0]: "blue upper tail"}, {classes[1]: ("big bird",)}
    assert class_names(classes, "attribute", natural, synonyms) == [["blue upper tail"], ["large size", "big bird"]]
    assert class_names(classes, "attribute", natural, synonyms, "published") == [["blue upper"], ["large size::large"]]


# --- sentences


def test_every_name_stands_in_every_template() -> None:
    assert class_prompts([["tv", "television"], ["cat"]], ["a photo of a {}.", "{}!"]) == [
        ["a photo of a tv.", "tv!", "a photo of a television.", "television!"],
        ["a photo of a cat.", "cat!"],
    ]


@given(WORDS, TEMPLATES, TEMPLATES)
def test_sentences_are_in_the_order_of_names_then_templates(
    names: list[list[str]], before: list[str], after: list[str]
) -> None:
    templates = [b + "{}" + a for b, a in zip(before, after, strict=False)]
    found = class_prompts(names, templates)
    assert len(found) == len(names)
    for words, sentences in zip(names, found, strict=True):
        assert len(sentences) == len(words) * len(templates)
        for n, sentence in enumerate(sentences):
            word, template = words[n // len(templates)], n % len(templates)
            assert sentence == before[template] + word + after[template]


@pytest.mark.parametrize("name", ["{}", "{0}", "100%", "\\1", "{name}"])
def test_a_name_is_never_read_as_a_template(name: str) -> None:
    assert class_prompts([[name]], ["a {} here"]) == [[f"a {name} here"]]


def test_the_benchmark_prompts_are_the_published_sentences() -> None:
    spec = load_manifest()["voc"]
    classes = spec.classes or ()

    def sentences(compat: str) -> list[list[str]]:
        names = class_names(classes, spec.name_rule, spec.natural_names, spec.synonyms, compat)
        return class_prompts(names, spec.prompt)

    plain = sentences("published")
    assert plain == [[f"a photo of a {name}."] for name in classes]
    assert ["a photo of a diningtable."] in plain
    changed = [new for old, new in zip(plain, sentences("paper"), strict=True) if old != new]
    assert changed == [["a photo of a dining table."], ["a photo of a potted plant."], ["a photo of a tv monitor."]]


@pytest.mark.parametrize("name", ["coco", "nuswide", "cub"])
def test_the_names_of_the_other_benchmarks_are_plain(name: str) -> None:
    spec = load_manifest()[name]
    assert spec.name_rule == ("attribute" if name == "cub" else "plain")
    assert not spec.natural_names
    assert not spec.synonyms


# --- what the text tower makes of them


@pytest.fixture(scope="module")
def encoder(blocks: Path) -> ClipEncoder:
    return ClipEncoder(ClipSource(str(blocks / "tiny-clip.json"), "random"), torch.device("cpu"))


def tower(encoder: ClipEncoder, sentence: str) -> np.ndarray:
    """Return the text tower's output for one sentence, in double precision."""
    with torch.no_grad():
        return encoder.model.encode_text(open_clip.get_tokenizer("tiny-clip")([sentence]))[0].double().numpy()


def test_text_features_are_the_towers_own_output(encoder: ClipEncoder) -> None:
    sentences = ["a photo of a red.", "blue", ""]
    found = encoder.encode_text(sentences)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [tower(encoder, s) for s in sentences], rtol=1e-5, atol=1e-6)
    assert np.abs(np.linalg.norm(found, axis=1) - 1).min() > 0.1  # not normalised


def test_a_class_of_one_sentence_has_the_towers_own_output(encoder: ClipEncoder) -> None:
    sentences = ["a photo of a red.", "a photo of a green.", "a photo of a blue."]
    found = encoder.encode_classes([[s] for s in sentences])
    np.testing.assert_array_equal(found, encoder.encode_text(sentences))
    assert found.dtype == np.float32


def test_a_class_of_several_sentences_has_their_mean_direction_and_mean_length(encoder: ClipEncoder) -> None:
    sentences = [["red", "a very red photo", "crimson!"], ["green"], ["a photo of a blue.", "blue"]]
    found = encoder.encode_classes(sentences)
    assert found.shape == (3, 16)
    for feature, of_class in zip(found, sentences, strict=True):
        every = [tower(encoder, sentence) for sentence in of_class]
        direction = sum(v / np.linalg.norm(v) for v in every)
        length = sum(np.linalg.norm(v) for v in every) / len(every)
        np.testing.assert_allclose(feature, direction / np.linalg.norm(direction) * length, rtol=1e-4, atol=1e-5)


def test_a_sentence_that_is_repeated_changes_nothing_and_neither_does_the_order(encoder: ClipEncoder) -> None:
    once, twice = encoder.encode_classes([["red"]]), encoder.encode_classes([["red", "red"]])
    np.testing.assert_allclose(twice, once, rtol=1e-5, atol=1e-6)
    there, back = encoder.encode_classes([["red", "blue"], ["blue", "red"]])
    np.testing.assert_allclose(there, back, rtol=1e-5, atol=1e-6)
    assert np.abs(there - once[0]).max() > 1e-3


def test_too_long_a_sentence_among_several_is_named(encoder: ClipEncoder) -> None:
    with pytest.raises(AevlpError, match=r"the prompt 'very very .* is longer than the 12 tokens"):
        encoder.encode_classes([["red"], ["blue", "very " * 20]])


@pytest.mark.parametrize("words", [1, 9, 10, 11, 12])
def test_a_sentence_that_fills_the_model_exactly_fits(encoder: ClipEncoder, words: int) -> None:
    sentence = " ".join(["red"] * words)  # a token each, and two for start and end: ten fill the twelve
    if words <= 10:
        assert encoder.encode_text([sentence]).shape == (1, 16)
    else:
        with pytest.raises(AevlpError, match="is longer than the 12 tokens"):
            encoder.encode_text([sentence])
