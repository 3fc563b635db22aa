"""The reference of the command line, made of the commands as they are declared: a section each, with its options."""

import re
from typing import Any

import typer

from aevlp.stages.commands.app import app as program
from aevlp.stages.commands.build import Command
from aevlp.stages.commands.table import CACHE_COMMANDS, COMMANDS

# What a page has in the place of the commands of a panel.
HERE = re.compile(r"^\{\{ commands: (.+) \}\}$", re.MULTILINE)


def panels() -> list[str]:
    """Return the titles of the help under which commands stand, in its order."""
    return list(dict.fromkeys(command.panel for command in COMMANDS))


def public_name(command: Command) -> str:
    """Return the name of the Python function that a command calls."""
    return command.work.rpartition(":")[2]


def sections(panel: str) -> str:
    """Return the commands of one panel, as a page's text."""
    root: Any = typer.main.get_command(program)
    made = {"aevlp": (COMMANDS, root), "aevlp cache": (CACHE_COMMANDS, root.commands["cache"])}
    found = [
        _section(command, group.commands[command.name], before)
        for before, (commands, group) in made.items()
        for command in commands
        if command.panel == panel
    ]
    return "\n\n".join(found)


def _section(command: Command, made: Any, before: str) -> str:
    name = f"{before} {command.name}"
    context = typer.Context(made, info_name=name)
    usage = made.get_usage(context).partition(": ")[2]
    by_title: dict[str | None, list[str]] = {None: []}
    for parameter in made.params:
        if parameter.name != "help":
            by_title.setdefault(getattr(parameter, "rich_help_panel", None), []).append(_option(parameter))
    parts = [
        f"({name.replace(' ', '-')})=\n## {name}",
        plain(made.help or ""),
        f"```text\n{usage}\n```",
        f"For example:\n\n```bash\n{command.example}\n```",
        f"From Python: {{py:func}}`aevlp.{public_name(command)}`.",
        f"```{{program}} {name}\n```",
    ]
    for title, options in by_title.items():
        parts += [*([f"```{{rubric}} {title}\n```"] if title and options else []), *options]
    return "\n\n".join(parts)


def _option(parameter: Any) -> str:
    """Return an option or an argument, with what it takes, says and is by default."""
    takes = parameter.metavar or parameter.name.upper()
    if parameter.param_type_name == "option":
        value = "" if parameter.is_flag else f" {takes}"
        names = ", ".join(f"{name}{value}" for name in (*parameter.opts, *parameter.secondary_opts))
    else:
        names = takes.strip("{}[]").removesuffix("...")
    says = plain(parameter.help or "")
    default = parameter.default
    if isinstance(parameter.show_default, str):
        default = parameter.show_default
    if default not in (None, False, True, (), []) and not callable(default) and parameter.show_default:
        says = f"{says} Default: `{default}`."
    return f"````{{option}} {names}\n{says}\n````"


def plain(text: str) -> str:
    """Return the words of a help as Markdown that reads as they stand; Rich's backslashes before brackets go."""
    return re.sub(r"([\\`*_{}\[\]<>|#$~])", r"\\\1", text.replace("\\[", "["))


def setup(app: Any) -> None:
    """Fill in the commands where a page asks for those of a panel."""

    def fill(app: Any, page: str, source: list[str]) -> None:
        source[0] = HERE.sub(lambda asked: sections(asked[1]), source[0])

    app.connect("source-read", fill)
