"""Names of methods with constants: what is read, what is refused, what names a file."""

import math
from pathlib import Path
from typing import Any

import pytest
from conftest import call
from hypothesis import given
from hypothesis import strategies as st

from aevlp.pipeline import losses
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.method_names import MethodName, file_name, parsed, set_constants, split_names, with_constants

NUMBERS = st.integers(-(10**14), 10**14) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = (
    NUMBERS | st.booleans() | st.none() | st.sampled_from(["paper", "mean"]) | st.lists(NUMBERS, min_size=1, max_size=4)
)
METHODS = st.builds(
    MethodName,
    st.sampled_from(["gpr", "my.module:Focal", "vlpl-asl"]),
    st.dictionaries(st.sampled_from(["q3", "lam_1", "beta", "reg"]), VALUES),
)


@given(METHODS)
def test_what_is_written_is_read_again(method: MethodName) -> None:
    assert parsed(str(method)) == method
    assert split_names(f"an, {method},{method}") == ["an", str(method), str(method)]


@given(METHODS, METHODS)
def test_a_file_name_is_safe_and_of_one_method(one: MethodName, other: MethodName) -> None:
    name = file_name(str(one))
    assert Path(name).name == name and not set(name) & set("[]=,: /\\") and len(name) < 100
    assert name == file_name(str(parsed(str(one))))
    if one != other:
        assert name != file_name(str(other))


def test_the_order_of_constants_and_spaces_make_no_other_method() -> None:
    assert (
        str(parsed(" gpr[ q3 = 0.5 , lam_1=1e-3]"))
        == str(parsed("gpr[lam_1=0.001,q3=.5]"))
        == "gpr[lam_1=0.001,q3=0.5]"
    )
    assert parsed("gpr[beta=[0, 10, -2, -8]]").constants == {"beta": [0, 10, -2, -8]}
    assert parsed("fits[1]/policy.json") == MethodName("fits[1]/policy.json", {})
    assert file_name("gpr[q3=0.5]") == "gpr-q3-0.5"
    assert [file_name(name) for name in losses.loss_names()] == losses.loss_names()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("gpr[q3=0.5", "the brackets do not close"),
        ("gpr]", "the brackets do not close"),
        ("gpr[q3=0.5]x", "the brackets do not close"),
        ("gpr]q3[", "the brackets do not close"),
        ("[q3=1]", "no name before the bracket"),
        ("gpr[]", "no constant in the brackets"),
        ("gpr[q3]", "expected CONSTANT=VALUE in the brackets, .* found 'q3'"),
        ("gpr[q3=1,q3=2]", "the constant q3 stands twice"),
        ("gpr[q3=]", "expected a number, a word"),
        ("gpr[q3={a: 1}]", "expected a number, a word"),
        ("gpr[q3=1e400]", "expected a number, a word"),
        ("gpr[q3=12:30]", "expected a number, a word"),
        ("gpr[q3=010]", None),
        ("gpr[q3=[1,two]]", "expected a number, a word"),
        ("gpr[q3=!!python/name:os.system]", "expected a number, a word"),
    ],
)
def test_another_text_is_one_clear_line(text: str, found: str | None) -> None:
    if found is None:
        assert parsed(text).constants == {"q3": 10}  # not eight, as YAML would read it
        return
    with pytest.raises(AevlpError, match=found) as caught:
        parsed(text)
    assert "\n" not in str(caught.value) and text in str(caught.value)


def test_constants_are_set_one_by_one() -> None:
    assert set_constants(["gpr.q3=0.5", "my.losses:Focal.gamma=2", "gpr.beta=[0, 1]"]) == {
        "gpr": {"q3": 0.5, "beta": [0, 1]},
        "my.losses:Focal": {"gamma": 2},
    }
    for text, found in (
        ("gpr.q3", "--set takes NAME.CONSTANT=VALUE, as in gpr.q3=0.5, found 'gpr.q3'"),
        ("q3=1", "--set takes NAME.CONSTANT=VALUE"),
        ("gpr.q3=x y", "--set gpr.q3: expected a number"),
    ):
        with pytest.raises(AevlpError, match=found):
            set_constants([text])
    with pytest.raises(AevlpError, match=r"--set gpr\.q3 is given twice"):
        set_constants(["gpr.q3=1", "gpr.q3=1"])
    with pytest.raises(AevlpError, match=r"q3 is set both in gpr\[q3=1\] and by --set gpr\.q3: leave one of them out"):
        with_constants(parsed("gpr[q3=1]"), {"gpr": {"q3": 1}})


@given(st.text(max_size=30))
def test_any_text_is_a_name_or_a_mistake(text: str) -> None:
    for read in (parsed, split_names, lambda value: set_constants([value]), file_name):
        try:
            read(text)
        except AevlpError as error:
            assert str(error)


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        (["--loss", "gpr[q4=1]"], "unknown constant of loss gpr 'q4': known are q2, q3"),
        (["--loss", "gpr[q3=high]"], "q3 of loss gpr must be a number, found 'high'"),
        (["--loss", "gpr[q3=1"], "the brackets do not close"),
        (["--set", "gpr.q3=a"], "q3 of loss gpr must be a number, found 'a'"),
        (["--set", "an.q3=1"], "--set an.q3: nothing is trained with an, only with gpr, damp"),
        (["--set", "damp.threshold=2"], "threshold must be in [0, 1], found 2"),
        (["--policy", "damp[treshold=0.1]"], "unknown constant of policy damp 'treshold': known are threshold"),
        (["--policy", "fit.json", "--set", "fit.json.eta=1"], "the constants of a file are fitted together"),
        (["--loss", "gpr[linear_init=1]"], "linear_init of loss gpr is the recipe's"),
    ],
)
def test_a_mistake_in_a_constant_is_one_line(
    given_: list[str], found: str, cache_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert call("train", cache_path, "--backbone", "linear", "--run", tmp_path / "run", *given_) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert found in error and not (tmp_path / "run").exists()


def test_constants_reach_the_run(cache_path: Path, tmp_path: Path) -> None:
    import json

    common: list[Any] = ["--backbone", "linear", "--epochs", 1, "--workers", 0]
    one, other = tmp_path / "one", tmp_path / "other"
    assert call("train", cache_path, *common, "--run", one, "--set", "gpr.q3=0.5", "--set", "damp.threshold=0.05") == 0
    named = ["--loss", "gpr[q3=0.5]", "--policy", "damp[threshold=0.05]"]
    assert call("train", cache_path, *common, "--run", other, *named) == 0
    settings = [json.loads((run / "settings.json").read_text()) for run in (one, other)]
    for made in settings:
        assert made["loss"]["name"] == "gpr" and made["loss"]["q3"] == 0.5
        assert made["loss"]["expected_positives"] == 1.5  # the manifest's
        assert made["policy"]["name"] == "damp" and made["policy"]["constants"]["threshold"] == 0.05
        assert math.isclose(made["policy"]["constants"]["temperature"], 0.1)
    assert settings[0] == settings[1]
