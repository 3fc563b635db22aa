"""A declared function -> a command of the command line, which calls it and shows its result."""

import inspect
import re
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer
from typer.core import TyperCommand
from typer.models import ArgumentInfo, OptionInfo

from ...pipeline.errors import AevlpError
from ..declaration import Declared, declared_in
from ..option_types import Json

JSON = "json"
WORDS = {int: "N", float: "X", str: "TEXT", Path: "PATH", list[Path]: "PATH", list[str]: "TEXT"}  # shown for a value


@dataclass(frozen=True)
class Command:
    """One command. work: "module:function" below `stages`, whose module has `show(result)` too; options: what it takes.

    panel: where it stands in the help. json: whether `--json` prints the result's `to_json()`. panels: under which title of its
    help the options stand that one of these dataclasses alone declares; None for the first.
    """

    name: str
    work: str
    options: type
    panel: str
    example: str
    json: bool = False
    panels: Mapping[type, str | None] = field(default_factory=dict)


class _Missing(typer.BadParameter):
    """An argument that is not there, said as typer says it."""

    def format_message(self) -> str:
        return f"Missing argument '{self.param_hint}'."


class _OneForm(TyperCommand):
    """A command whose usage line has RUN, where typer has {RUN}."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = super().collect_usage_pieces(ctx)
        return [re.sub(r"^\{(.*?)(?:\.\.\.)?\}", r"\1", piece) for piece in pieces]


def add(app: typer.Typer, command: Command) -> None:
    """Add a command to the command line; its module is imported when it runs."""
    text = inspect.cleandoc(command.options.__doc__ or "").partition("\n\n")[0].replace("\n", " ")
    app.command(
        command.name, cls=_OneForm, help=text, rich_help_panel=command.panel, epilog=f"Example: {command.example}"
    )(_callback(command))


def _callback(command: Command) -> Callable[..., None]:
    declared = [one for one in declared_in(command.options) if not one.python_only]
    declared.sort(key=lambda one: _place(one, command.panels))

    def callback(**given: Any) -> None:
        as_json = given.pop(JSON, False)
        for one in declared:
            if one.also is not None:
                option = given.pop(_option_name(one))
                beside = one.beside if given.get("resume") else None
                if beside and None not in (given[one.name], option) and given[beside] is None:
                    given[beside], given[one.name] = given[one.name], None
                given[one.name] = _either(one, given[one.name], option, beside)
        _run(command, given, as_json)

    parameters = [parameter for one in declared for parameter in _parameters(one, _title(one, command.panels))]
    if command.json:
        parameters.append(_parameter(JSON, Json, False))
    callback.__name__ = command.name.replace("-", "_")
    callback.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    callback.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return callback


def _run(command: Command, given: dict[str, Any], as_json: bool) -> None:
    from ..console import print_json, results_aside

    place, _, name = command.work.partition(":")
    module = import_module(f"..{place}", __package__)
    work = getattr(module, name)
    if as_json:
        with results_aside():
            result = work(**given)
        print_json(result.to_json())
    else:
        result = work(**given)
        module.show(result)
    failed = getattr(result, "failed", False)
    if isinstance(failed, str) and failed:
        raise AevlpError(failed)
    if failed:
        raise typer.Exit(1)


def _declares(options: type, one: Declared) -> bool:
    return one.name in vars(options)["__annotations__"]


def _place(one: Declared, panels: Mapping[type, str | None]) -> int:
    """Return by what options are sorted in the help: the first of the dataclasses that declares one."""
    return next((place for place, options in enumerate(panels) if _declares(options, one)), len(panels))


def _title(one: Declared, panels: Mapping[type, str | None]) -> str | None:
    """Return the title of the help under which an option stands, None for the first."""
    if own := getattr(one.info, "rich_help_panel", None):
        return own
    titles = {title for options, title in panels.items() if _declares(options, one)}
    return titles.pop() if len(titles) == 1 else None


def _parameters(one: Declared, title: str | None) -> list[inspect.Parameter]:
    """Return an option as Typer's parameters: two where an argument may be given as an option too."""
    if one.also is None:
        return [_parameter(one.name, _as_typer_takes_it(one, title), one.default)]
    info = one.info
    assert isinstance(info, ArgumentInfo)
    option = typer.Option(
        one.also,
        parser=info.parser,
        metavar="PATH|URL" if info.parser else None,
        help="Another way to give the argument.",
    )
    return [
        _parameter(one.name, Annotated[one.kind | None, info], None),
        _parameter(_option_name(one), Annotated[one.kind | None, option], None),
    ]


def _as_typer_takes_it(one: Declared, title: str | None) -> Any:
    """Return the annotation of an option for Typer, which knows no unions, and no plain words for a value or a wrong choice."""
    if one.info is None:
        return one.annotation
    info = copy(one.info)
    info.rich_help_panel = title
    if get_origin(one.kind) is Literal:
        info.parser, info.metavar = _choice(one), "|".join(get_args(one.kind))
    elif isinstance(info, OptionInfo) and info.metavar is None:
        info.metavar = WORDS.get(one.kind)
    union = get_origin(one.kind) is not list and not isinstance(one.kind, type)
    kind = (one.listed or str) | None if union and (one.listed or info.parser) else get_args(one.annotation)[0]
    return Annotated[kind, info]


def _choice(one: Declared) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if text not in get_args(one.kind):
            raise typer.BadParameter(f"{text!r} is not one of {', '.join(get_args(one.kind))}")
        return text

    return checked


def _either(one: Declared, argument: Any, option: Any, beside: str | None) -> Any:
    """Return what was given, as an argument or as an option; a usage error where nothing was, or both."""
    if argument is not None and option is not None:
        raise typer.BadParameter(f"given twice, {argument} and {option}", param_hint=one.also)
    found = option if argument is None else argument
    if found is None and one.default is inspect.Parameter.empty:
        raise _Missing("", param_hint=(beside or one.name).upper())
    return found


def _option_name(one: Declared) -> str:
    return f"{one.name}_option"


def _parameter(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
