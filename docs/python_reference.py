"""The reference of Python's names, made of `__init__.pyi`, of signatures and of docstrings.

Docstrings are plain prose with `code`; types of other packages are shown and lead nowhere, since the site needs no network.
"""

import ast
import inspect
import re
from pathlib import Path
from typing import Any

from command_reference import public_name
from docutils import nodes
from sphinx.util.inspect import stringify_signature
from sphinx.util.typing import stringify_annotation

import aevlp
from aevlp.stages.commands.table import CACHE_COMMANDS, COMMANDS
from aevlp.stages.declaration import declared_in

ROOT = Path(__file__).resolve().parents[1]
FUNCTIONS = re.compile(r"^\{\{ functions: (.+) \}\}$", re.MULTILINE)  # where those of a panel of the help stand
WING = re.compile(r"^\{\{ wings \}\}$", re.MULTILINE)
OTHERS = "Runs"  # the panel of what no command calls
CALLED = {public_name(command): command for command in (*CACHE_COMMANDS, *COMMANDS)}
BY_MODULE = {command.work.partition(":")[0]: command.panel for command in (*CACHE_COMMANDS, *COMMANDS)}
CODE = re.compile(r"(`[^`]*`)")


def public() -> dict[str, list[str]]:
    """Return the public names by the module that has them, in the order of `__init__.pyi`, `.` between its parts."""
    stub = ast.parse((ROOT / "__init__.pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {str(node.module): [alias.asname or alias.name for alias in node.names] for node in imports}


def functions(panel: str) -> str:
    """Return the functions that commands of a panel call, in its order, and with each what it returns."""
    names = public()
    modules = [f"stages.{module}" for module, title in BY_MODULE.items() if title == panel]
    if panel == OTHERS:
        modules = [m for m in names if m.startswith("stages.") and m.removeprefix("stages.") not in BY_MODULE]
    return "\n\n".join(_entry(name) for module in modules for name in sorted(names[module], key=_is_class))


def wings() -> str:
    """Return the names of the parts, a section for each wing that has some, in the order data flows."""
    drawn = re.findall(r"^(\w+) {2,}(\S.*)$", ast.get_docstring(_map()) or "", re.MULTILINE)
    names = public()
    sections = ["\n\n".join(_entry(name) for name in names["pipeline.errors"])]
    for wing, what in drawn:
        found = [name for module, of in names.items() if re.match(rf"pipeline\.{wing}(\.|$)", module) for name in of]
        if found:
            title = f"## {wing}: {what}".replace("->", "→")
            sections.append("\n\n".join([title, *map(_entry, found)]))
    return "\n\n".join(sections)


def _map() -> ast.Module:
    return ast.parse((ROOT / "pipeline" / "__init__.py").read_text(encoding="utf-8"))


def _is_class(name: str) -> bool:
    return isinstance(getattr(aevlp, name), type)


def _entry(name: str) -> str:
    of = getattr(aevlp, name)
    if not _is_class(name):
        return f"```{{eval-rst}}\n.. autofunction:: aevlp.{name}\n```"
    bases = "\n   :show-inheritance:" if of.__bases__ != (object,) else ""
    return f"```{{eval-rst}}\n.. autoclass:: aevlp.{name}\n   :members:\n   :exclude-members: model_config{bases}\n```"


def as_rst(line: str) -> str:
    """Return a line of a docstring as reStructuredText that reads as it stands, with `code` as code."""
    parts = CODE.split(line)
    return "".join(f"`{part}`" if n % 2 else re.sub(r"([\\*|_])", r"\\\1", part) for n, part in enumerate(parts))


def told(app: Any, what: str, name: str, of: Any, settings: Any, lines: list[str]) -> None:
    """Rewrite a docstring for Sphinx; a function that a command calls gets its options with their types and help."""
    lines[:] = [as_rst(line) for line in lines]
    command = CALLED.get(name.removeprefix("aevlp."))
    if what != "function" or command is None:
        return
    called = f"aevlp cache {command.name}" if command in CACHE_COMMANDS else f"aevlp {command.name}"
    lines += ["", f"On the command line: :ref:`{called} <{called.replace(' ', '-')}>`.", ""]
    for one in declared_in(command.options):
        said = getattr(one.info, "help", None) or {"progress": "Whether notes and progress are shown."}.get(
            one.name, ""
        )
        if said:
            lines.append(f":param {one.name}: {as_rst(said.replace(chr(92) + '[', '['))}")
            lines.append(f":type {one.name}: {stringify_annotation(one.plain, 'smart')}")
    lines.append("")


def signed(app: Any, what: str, name: str, of: Any, settings: Any, shown: str | None, returns: str | None) -> Any:
    """Return the signature of a function that a command calls without the types, which stand with its options.

    A class that pydantic reads from a file has none: nobody makes one by hand.
    """
    if what == "class" and hasattr(of, "model_fields"):
        return "", None
    if what != "function" or name.removeprefix("aevlp.") not in CALLED:
        return None
    signature = inspect.signature(of)
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in signature.parameters.values()]
    return stringify_signature(signature.replace(parameters=bare), show_return_annotation=False), returns


def dashed(app: Any, domain: str, kind: str, content: Any) -> None:
    """Put a dash between an option and its help, where Sphinx leaves two hyphens to typography."""
    for text in list(content.findall(nodes.Text)):
        if text.astext() == " -- ":
            text.parent.replace(text, nodes.Text(" – "))  # noqa: RUF001


def led(app: Any, env: Any, node: Any, shown: Any) -> Any:
    """Lead a public type to its entry; show one that is not public, or of another package, as it is."""
    target = node.get("reftarget", "")
    last = target.rpartition(".")[2]
    if node.get("refdomain") != "py":
        return None
    if last in aevlp.__all__:
        return env.domains["py"].resolve_xref(env, node["refdoc"], app.builder, "obj", f"aevlp.{last}", node, shown)
    return None if re.fullmatch(r"aevlp\.\w+", target) else shown


def setup(app: Any) -> None:
    """Fill in the names where a page asks for them, and read docstrings and types as they are written here."""

    def fill(app: Any, page: str, source: list[str]) -> None:
        source[0] = WING.sub(lambda _: wings(), FUNCTIONS.sub(lambda asked: functions(asked[1]), source[0]))

    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", told)
    app.connect("autodoc-process-signature", signed)
    app.connect("object-description-transform", dashed)
    app.connect("missing-reference", led)
