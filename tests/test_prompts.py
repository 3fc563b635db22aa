"""The sentence of each class."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aevlp.pipeline.manifest import load_manifest
from aevlp.pipeline.prompts import class_prompts

NAMES = st.lists(st.text(min_size=1, max_size=8), max_size=5)


def test_a_class_stands_in_the_template_with_underscores_as_spaces() -> None:
    assert class_prompts(["traffic_light", "cat"], "a photo of a {}.") == [
        "a photo of a traffic light.",
        "a photo of a cat.",
    ]


def test_a_natural_name_replaces_the_class_as_it_is() -> None:
    names = {"tvmonitor": "tv monitor", "other": "never asked for", "x_y": "x_y kept"}
    assert class_prompts(["tvmonitor", "dog", "x_y"], "{}!", names) == ["tv monitor!", "dog!", "x_y kept!"]


def test_the_benchmark_prompts_are_the_published_sentences() -> None:
    spec = load_manifest()["voc"]
    plain = class_prompts(spec.classes or (), spec.prompt)
    assert plain[:2] == ["a photo of a aeroplane.", "a photo of a bicycle."]
    assert "a photo of a diningtable." in plain
    natural = class_prompts(spec.classes or (), spec.prompt, spec.natural_names)
    changed = {new for old, new in zip(plain, natural, strict=True) if old != new}
    assert changed == {"a photo of a dining table.", "a photo of a potted plant.", "a photo of a tv monitor."}


@given(NAMES, st.text(max_size=8), st.text(max_size=8))
def test_one_sentence_a_class_in_order(names: list[str], before: str, after: str) -> None:
    before, after = before.replace("{", ""), after.replace("{", "")
    prompts = class_prompts(names, before + "{}" + after)
    assert prompts == [before + name.replace("_", " ") + after for name in names]


@pytest.mark.parametrize("name", ["{}", "{0}", "100%", "\\1", "{name}"])
def test_a_name_is_never_read_as_a_template(name: str) -> None:
    assert class_prompts([name], "a {} here") == [f"a {name} here"]
