"""Options declared once: the function made of them, what it refuses, and the command made of them."""

import inspect
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from aevlp.pipeline.errors import AevlpError
from aevlp.stages.commands.build import Command, add
from aevlp.stages.console import is_narrated, narrated, say
from aevlp.stages.declaration import AlsoOption, Options, Place, declared_in, takes


def shout(text: str) -> str:
    if text == "no":
        raise typer.BadParameter("expected another word")
    return text.upper()


def words(text: str) -> list[str]:
    if "no" in text:
        raise typer.BadParameter("expected other words")
    return text.split(",")


@dataclass(frozen=True)
class Shared(Options):
    _: KW_ONLY
    epochs: Annotated[int | None, typer.Option(min=1, max=9, help="Rounds.")] = None
    rate: Annotated[float, typer.Option(min=0)] = 0.5


@dataclass(frozen=True)
class BakeOptions(Shared):
    """Bake a cake."""

    cake: Annotated[Place, typer.Argument(help="The cake."), AlsoOption("--cake")]
    _: KW_ONLY
    heat: Annotated[Literal["low", "high"], typer.Option()] = "low"
    word: Annotated[str | None, typer.Option(parser=shout)] = None
    extras: list[Path] | None = None
    spices: Annotated[Sequence[str] | None, typer.Option(parser=words)] = None
    size: Annotated[int | str | None, typer.Option(parser=str, metavar="CM|big")] = None
    guests: Annotated[Sequence[str] | Path | None, typer.Option(parser=str, metavar="NAMES|FILE")] = None
    note: Annotated[list[str] | dict[str, Any] | None, typer.Option(metavar="'WHAT: HOW'")] = None
    fast: Annotated[bool, typer.Option("--fast")] = False


@takes(BakeOptions)
def bake(options: BakeOptions) -> BakeOptions:
    """Return what was asked for."""
    say("baking")
    return options


def show(options: BakeOptions) -> None:
    """Print what was asked for."""
    print(options.cake, options.heat, options.epochs, options.word, options.fast, options.spices, options.size)
    print(options.note)


def test_the_signature_is_the_declaration() -> None:
    parameters = inspect.signature(bake).parameters
    assert list(parameters) == [
        "cake",
        "epochs",
        "rate",
        "heat",
        "word",
        "extras",
        "spices",
        "size",
        "guests",
        "note",
        "fast",
        "progress",
    ]
    assert parameters["cake"].kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
    assert {p.kind for name, p in parameters.items() if name != "cake"} == {inspect.Parameter.KEYWORD_ONLY}
    assert (parameters["heat"].default, parameters["rate"].annotation) == ("low", float)
    assert parameters["cake"].annotation == str | os.PathLike[str]  # as a run or a cache is
    assert parameters["size"].annotation == int | str | None
    assert bake.__name__ == "bake" and (bake.__doc__ or "").startswith("Return what")


def test_values_are_kept_as_their_kind() -> None:
    found = bake("a/b", epochs=3, rate=1, word="yes", extras="c")  # type: ignore[arg-type]
    assert (found.cake, found.epochs, found.rate, found.word, found.extras) == (Path("a/b"), 3, 1.0, "YES", [Path("c")])
    assert isinstance(found.rate, float)
    assert bake(Path("x"), extras=["c", Path("d")]).extras == [Path("c"), Path("d")]  # type: ignore[list-item]
    for spices in ("salt,mace", ["salt", "mace"], ("salt", "mace")):
        assert bake("x", spices=spices).spices == ["salt", "mace"]  # type: ignore[call-arg]
    assert bake("x", guests=("Ada", "Max")).guests == ["Ada", "Max"]  # type: ignore[call-arg]
    assert bake("x", guests=Path("names.txt")).guests == "names.txt"  # type: ignore[call-arg]
    assert bake("x", note={"ice": ["pink"]}).note == {"ice": ["pink"]}  # type: ignore[call-arg]
    assert bake("x", note="ice: pink").note == ["ice: pink"]  # type: ignore[call-arg]
    for size in (3, "big"):
        assert bake("x", size=size).size == size  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"epochs": 0}, "--epochs: expected at least 1 and at most 9, found 0"),
        ({"epochs": 2.5}, "--epochs: expected a whole number, found 2.5"),
        ({"epochs": "3"}, "--epochs: expected a whole number, found '3'"),
        ({"epochs": True}, "--epochs: expected a whole number, found True"),
        ({"rate": -1.0}, "--rate: expected at least 0, found -1"),
        ({"heat": "mild"}, "--heat: 'mild' is not one of low, high"),
        ({"word": "no"}, "--word: expected another word"),
        ({"spices": "no"}, "--spices: expected other words"),
        ({"spices": []}, "--spices: expected a list of names, each a text, found []"),
        ({"spices": ["salt", 3]}, "--spices: expected a list of names, each a text, found ['salt', 3]"),
        ({"spices": 3}, "--spices: expected a list of names, each a text, found 3"),
        ({"guests": ["Ada", 3]}, "--guests: expected a list of names, each a text, found ['Ada', 3]"),
        ({"guests": {"Ada"}}, "--guests: expected a list of names, each a text, found {'Ada'}"),
        ({"guests": b"Ada"}, "--guests: expected a list of names, each a text, found b'Ada'"),
        ({"guests": 3}, "--guests: expected a list of names, each a text, found 3"),
        ({"note": {1: 2}}, "--note: expected 'WHAT: HOW', found {1: 2}"),
        ({"note": [{"ice": 2}]}, "--note: expected 'WHAT: HOW', found {'ice': 2}"),
        ({"size": 2.5}, "--size: expected CM|big, found 2.5"),
        ({"fast": 1}, "--fast: expected True or False, found 1"),
        ({"cake": 5}, "--cake: expected a path, found 5"),
    ],
)
def test_what_a_value_may_be_holds_for_python_too(given: dict, said: str) -> None:
    with pytest.raises(AevlpError) as error:
        bake(**{"cake": "a", **given})
    assert str(error.value) == said


def test_an_unknown_or_missing_keyword_is_the_functions_error() -> None:
    with pytest.raises(TypeError, match=r"bake\(\): got an unexpected keyword argument 'epoch'"):
        bake("a", epoch=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"bake\(\): missing a required argument: 'cake'"):
        bake()  # type: ignore[call-arg]


@pytest.mark.parametrize(("progress", "said"), [(True, "baking\n"), (False, ""), (None, "")])
def test_notes_are_shown_where_they_are_asked_for(
    progress: bool | None, said: str, capfd: pytest.CaptureFixture
) -> None:
    with narrated(False):
        bake("a", progress=progress)  # type: ignore[call-arg]
        assert not is_narrated()
    assert capfd.readouterr().err == said
    assert is_narrated()


@pytest.mark.parametrize(("progress", "said"), [(True, "baking\n"), (False, "")])
def test_a_line_is_shown_as_often_where_a_library_has_set_up_logging(
    progress: bool, said: str, capfd: pytest.CaptureFixture
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    logging.getLogger().addHandler(handler)
    try:
        bake("a", progress=progress)  # type: ignore[call-arg]
    finally:
        logging.getLogger().removeHandler(handler)
    assert capfd.readouterr().err == said


@pytest.fixture
def command() -> typer.Typer:
    app = typer.Typer()
    work = Command("bake", f"test:{bake.__name__}", BakeOptions, "Kitchen", "aevlp bake cake")
    app.callback()(lambda: None)
    add(app, work)
    return app


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["bake", "a", "--epochs", "4", "--heat", "high", "--fast"], 0, "a high 4 None True None None"),
        (["bake", "--cake", "a", "--word", "yes"], 0, "a low None YES False"),
        (["bake", "a", "--cake", "b"], 2, "given twice"),
        (["bake"], 2, "Missing argument 'CAKE'."),
        (["bake", "a", "--heat", "mild"], 2, "Invalid value for '--heat': 'mild' is not one of low, high"),
        (["bake", "a", "--spices", "salt,mace"], 0, "a low None None False ['salt', 'mace']"),
        (["bake", "a", "--spices", "salt, no"], 2, "Invalid value for '--spices': expected other words"),
        (["bake", "a", "--note", "b: c", "--note", "d: e"], 0, "['b: c', 'd: e']"),
        (["bake", "a", "--size", "3"], 0, "a low None None False None 3"),
        (["bake", "a", "--epochs", "0"], 2, "Invalid value for '--epochs'"),
        (["bake", "a", "--progress"], 2, "No such option"),
        (["bake", "--help"], 0, "Bake a cake."),
    ],
)
def test_the_command_is_the_declaration(
    command: typer.Typer, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    here = type("Module", (), {"bake": staticmethod(bake), "show": staticmethod(show)})
    monkeypatch.setattr("aevlp.stages.commands.build.import_module", lambda *_: here)
    found = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(command, arguments)
    assert found.exit_code == code, found.output
    assert said in found.output


def test_every_option_stands_once_in_the_commands_help(command: typer.Typer) -> None:
    said = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(command, ["bake", "--help"]).output
    for one in declared_in(BakeOptions):
        if not one.python_only and one.keyword:
            assert said.count(f"{one.flag} ") == 1, one.flag


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 3 + 0j])
def test_what_is_no_whole_number_is_one_line(value: complex) -> None:
    with pytest.raises(AevlpError, match="--epochs: expected a whole number, found"):
        bake("a", epochs=value)  # type: ignore[arg-type]
    assert bake("a", epochs=np.int64(3)).epochs == 3  # type: ignore[arg-type]


def test_odd_values_are_named_as_they_are_given() -> None:
    for given, said in (
        ({"heat": np.array(["low"])}, "--heat: "),
        ({"extras": [5]}, "--extras: expected a path, found 5"),
        ({"progress": 1}, "progress: expected True or False, found 1"),
        ({"word": Path("no")}, "--word: expected another word"),
    ):
        with pytest.raises(AevlpError, match=said):
            bake(**{"cake": "a", **given})  # type: ignore[arg-type]
