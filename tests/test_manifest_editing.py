"""A manifest changed in place: the keys meant have new values, and nothing else is another."""

from pathlib import Path

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.manifest.editing import changed_text, set_in_manifest

PLACE = ("datasets", "a", "damp")
BLOCK = """# the top
datasets:
  a:
    title: A
    damp:
      # tuned by hand
      temperature: 0.10  # hm
      eta: 0.1 # last

    recipe: {lr: 1}
  b: {title: B}
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            BLOCK,
            BLOCK.replace("temperature: 0.10", "temperature: 1.0e-05").replace("# last\n", "# last\n      top_k: 3\n"),
        ),
        (
            "datasets:\n  a:\n    damp: {grid: 2, temperature: 0.1}  # keep\n    title: A\n",
            "datasets:\n  a:\n    damp: {grid: 2, temperature: 1.0e-05, top_k: 3}  # keep\n    title: A\n",
        ),
        (
            "datasets:\n  a:\n    title: A  # x\n    classes:\n      - c\n  b:\n    title: B\n",
            "datasets:\n  a:\n    title: A  # x\n    damp: {temperature: 1.0e-05, top_k: 3}\n    classes:\n"
            "      - c\n  b:\n    title: B\n",
        ),
        ("datasets: {a: {title: A}}", "datasets: {a: {title: A, damp: {temperature: 1.0e-05, top_k: 3}}}"),
        ("datasets:\n  a:\n    damp:\n", "datasets:\n  a:\n    damp: {temperature: 1.0e-05, top_k: 3}\n"),
        ("datasets:\n  a:\n    damp: {}\n", "datasets:\n  a:\n    damp: {temperature: 1.0e-05, top_k: 3}\n"),
        (
            "datasets:\r\n  a:\r\n    damp:\r\n      temperature: 1\r\n",
            "datasets:\r\n  a:\r\n    damp:\r\n      temperature: 1.0e-05\r\n      top_k: 3\r\n",
        ),
    ],
)
def test_comments_order_and_the_rest_stay(text: str, expected: str, tmp_path: Path) -> None:
    manifest = tmp_path / "mine.yaml"
    manifest.write_bytes(text.encode())
    manifest.chmod(0o640)
    set_in_manifest(manifest, PLACE, {"temperature": 1e-5, "top_k": 3})
    assert manifest.read_bytes().decode() == expected
    assert manifest.stat().st_mode & 0o777 == 0o640


BY_HAND = r"write it by hand, \{temperature: 0.2\}"
NO_YAML = r"the manifest .*mine\.yaml is not valid YAML: "


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("datasets:\n  a: {damp: &d {temperature: 0.1}}\n  b: {damp: *d}\n", BY_HAND),
        ("datasets:\n  a:\n    steps: |\n      one\n", BY_HAND),
        ("datasets:\n  a: [1]\n", BY_HAND),
        ("datasets:\n  a: {damp: 3}\n", BY_HAND),
        ("datasets: [\n", NO_YAML),
        ("datasets: {a: 1, a: 2}\n", NO_YAML),
    ],
)
def test_what_cannot_be_changed_alone_is_left_as_it_is(text: str, said: str, tmp_path: Path) -> None:
    manifest = tmp_path / "mine.yaml"
    manifest.write_text(text)
    with pytest.raises(AevlpError, match=said) as caught:
        set_in_manifest(manifest, PLACE, {"temperature": 0.2})
    assert manifest.read_text() == text and "\n" not in str(caught.value)


# PyYAML itself does not read back what it writes of the line breaks that are left out.
SCALARS = (
    st.integers()
    | st.floats(allow_nan=False)
    | st.booleans()
    | st.none()
    | st.text(st.characters(exclude_characters="\x85\u2028\u2029"), max_size=5)
)
INNER = st.dictionaries(st.sampled_from("xyz"), SCALARS)
ENTRIES = st.dictionaries(st.sampled_from(["title", "damp", "policies", "recipe"]), SCALARS | INNER)
VALUES = st.dictionaries(st.sampled_from("xyz"), st.floats(allow_nan=False), min_size=1)


@given(st.dictionaries(st.sampled_from("ab"), ENTRIES, min_size=1), st.booleans() | st.none(), VALUES)
def test_a_changed_manifest_differs_in_the_keys_meant_alone(entries: dict, flow: bool | None, values: dict) -> None:
    content = {"datasets": entries}
    text = yaml.safe_dump(content, default_flow_style=flow, allow_unicode=True)
    changed = changed_text(text, PLACE, values)
    entry = entries.get("a") or {}
    before = entry.get("damp")
    assume(changed is not None)
    assert before is None or isinstance(before, dict)
    expected = {"datasets": {**entries, "a": {**entry, "damp": {**(before or {}), **values}}}}
    assert yaml.safe_load(changed) == yaml.safe_load(yaml.safe_dump(expected))
