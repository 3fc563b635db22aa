"""The four rules of the house, each a function from a source tree to what breaks it, as "file:line: fault".

A tree is a folder with `pipeline/` (wings) and `stages/` (folders, each a part of the journey); it is read, never imported.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LINES = 300
REASON = re.compile(rf"{LINES} lines")  # what a docstring that gives the reason for more speaks of
PRINTS = frozenset({"print", "print_result", "print_table", "print_json"})
PRINTERS = frozenset({"console", "terminal"})  # root modules of stages that are about the terminal
BUILDER = "commands/build.py"  # makes the command line's options of the declarations
PROGRAM = "commands/app.py"
PACKAGE = "aevlp"


@dataclass(frozen=True)
class Import:
    """One import: where it stands, the module it stands in, and what it names, both as parts below the package."""

    place: str
    by: tuple[str, ...]
    of: tuple[str, ...]


def wings(tree: Path) -> list[str]:
    """Return the wings from the ground up, as the map in the docstring of pipeline/__init__.py has them."""
    return re.findall(r"^(\w+) {2,}\S", _map(tree), re.MULTILINE)


def root_modules(tree: Path) -> list[str]:
    """Return the modules beside the wings, which any wing imports and which import none, as the map has them."""
    return re.findall(r"`(\w+)`", _map(tree).partition("In the root:")[2])


def _map(tree: Path) -> str:
    return ast.get_docstring(ast.parse((tree / "pipeline" / "__init__.py").read_text(encoding="utf-8"))) or ""


def false_map(tree: Path) -> list[str]:
    """Return folders of pipeline/ that the map lacks, wings without a folder, and modules in the root that it lacks."""
    folders = {path.parent.name for path in (tree / "pipeline").glob("*/__init__.py")}
    modules = {path.stem for path in (tree / "pipeline").glob("*.py")} - {"__init__"}
    drawn = set(wings(tree))
    return [
        *(f"pipeline/{name}: a folder that the map in pipeline/__init__.py lacks" for name in sorted(folders - drawn)),
        *(f"pipeline/__init__.py: the wing {name} has no folder" for name in sorted(drawn - folders)),
        *(f"pipeline/{name}.py: belongs in a wing" for name in sorted(modules - set(root_modules(tree)))),
    ]


def imports_back(tree: Path) -> list[str]:
    """Return imports against commands -> the other stage folders -> pipeline, and of a wing that does not stand above."""
    order = wings(tree)
    found = []
    for link in imports(tree):
        by, of = link.by, link.of
        if by[0] == "pipeline":
            if of[0] != "pipeline":
                found.append(f"{link.place}: pipeline imports {'.'.join(of)}")
            elif (up := _wing(of, order)) is not None:
                own = _wing(by, order)
                if own is None:
                    found.append(f"{link.place}: a root module imports the wing {order[up]}")
                elif up > own:
                    found.append(f"{link.place}: {order[own]} imports {order[up]}, which stands below it")
        elif by[:2] != ("stages", "commands") and of[:2] == ("stages", "commands") and by[1] != "__main__":
            found.append(f"{link.place}: {'.'.join(by[:2])} imports stages.commands")
    return found


def circles(tree: Path) -> list[str]:
    """Return the pairs of stage folders, or modules beside them, of which each imports the other, if by way of others."""
    links = {}
    for link in imports(tree):
        if link.by[0] == link.of[0] == "stages" and len(link.of) > 1 and link.by[1] != link.of[1]:
            links.setdefault((link.by[1], link.of[1]), link.place)

    def reaches(one: str, other: str, seen: frozenset[str] = frozenset()) -> bool:
        nexts = {b for a, b in links if a == one} - seen
        return other in nexts or any(reaches(b, other, seen | nexts) for b in nexts)

    return [
        f"{place}: {one} imports {other}, which comes back to it"
        for (one, other), place in sorted(links.items())
        if reaches(other, one)
    ]


def printing(tree: Path) -> list[str]:
    """Return what is printed in stages/ outside commands/, the console, narrators, and functions named show…, and calls of
    those functions there: a stage function returns."""
    found = []
    for path, module in _modules(tree, "stages"):
        parts = path.relative_to(tree / "stages").with_suffix("").parts
        if parts[0] == "commands" or parts[0] in PRINTERS or "narrat" in parts[-1]:
            continue
        found += [
            f"{_place(tree, path, call)}: {name}(…)" for call, name in _calls(module, _shows) if _is_printing(name)
        ]
    return found


def options_twice(tree: Path) -> list[str]:
    """Return options that are written out twice with the same help, and options that are no field of an Options dataclass.

    What several commands take is inherited, or an alias of option_types; one name may be another option in another command, and
    then says so in its help. The options of the program itself, such as --version, stand in commands/app.py.
    """
    found: list[str] = []
    declared: dict[tuple[str, str], str] = {}
    for path, module in _modules(tree, "stages"):
        if not (path.stem.endswith(("options", "option_types")) or path.as_posix().endswith((BUILDER, PROGRAM))):
            named = (call for call, name in _calls(module, lambda _: False) if name in ("typer.Option", "Option"))
            found += [f"{_place(tree, path, call)}: an option outside the modules of options" for call in named]
        fields = [(field.target.id, field) for field in _option_fields(module)]  # type: ignore[union-attr]
        for name, node in [*_assigned(module), *fields]:
            text = _help_of(node)
            if text is None:
                continue
            place = _place(tree, path, node)
            first = declared.setdefault((name.lower().replace("_", ""), text), place)
            if first != place:
                found.append(f"{place}: {name} is declared in {first} already")
    return found


def _help_of(node: ast.AST) -> str | None:
    """Return the help of an option that is written out in a declaration; None where none is."""
    for call, name in _calls(node, lambda _: False):
        if name.rpartition(".")[2] == "Option":
            texts = [keyword.value for keyword in call.keywords if keyword.arg == "help"]
            return ast.unparse(texts[0]) if texts else ""
    return None


def too_long(tree: Path) -> list[str]:
    """Return files of more than 300 lines whose docstring does not say why it is more than 300 lines."""
    found = []
    for folder in ("pipeline", "stages"):
        for path, module in _modules(tree, folder):
            count = len(path.read_text(encoding="utf-8").splitlines())
            if count > LINES and not REASON.search(ast.get_docstring(module) or ""):
                found.append(f"{path.relative_to(tree)}: {count} lines, without a reason in its docstring")
    return found


def imports(tree: Path) -> list[Import]:
    """Return all imports of the package's own modules in pipeline/ and stages/, lazy ones and those of `import_module` too."""
    found = []
    for folder in ("pipeline", "stages"):
        for path, module in _modules(tree, folder):
            parts = path.relative_to(tree).with_suffix("").parts
            own = parts[:-1] if parts[-1] == "__init__" else parts
            for node in ast.walk(module):
                for name in _named(node, parts[:-1]):
                    found.append(Import(_place(tree, path, node), own, name))
    return found


def _named(node: ast.AST, package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield what of the package an import names; `from . import a, b` names two modules."""
    if isinstance(node, ast.ImportFrom):
        module = tuple(node.module.split(".") if node.module else [])
        if node.level:
            start = package[: len(package) - node.level + 1] + module
        elif module[:1] == (PACKAGE,):
            start = module[1:]
        else:
            return
        yield from ((*start, alias.name) for alias in node.names)
    elif isinstance(node, ast.Import):
        whole = (alias.name.split(".") for alias in node.names)
        yield from (tuple(name[1:]) for name in whole if name[0] == PACKAGE and len(name) > 1)
    elif isinstance(node, ast.Call) and _dotted(node.func).endswith("import_module") and node.args:
        first = node.args[0]
        if isinstance(first, ast.Constant) and str(first.value).startswith(PACKAGE + "."):
            yield tuple(str(first.value).split(".")[1:])


def _wing(module: tuple[str, ...], order: list[str]) -> int | None:
    return order.index(module[1]) if len(module) > 1 and module[1] in order else None


def _shows(function: str) -> bool:
    return function.lstrip("_").split("_")[0] == "show"


def _is_printing(name: str) -> bool:
    last = name.rpartition(".")[2]
    return last in PRINTS or (_shows(last) and "." not in name.removeprefix("self."))


def _calls(node: ast.AST, left_out: Callable[[str], bool]) -> Iterator[tuple[ast.Call, str]]:
    """Yield the calls below a node with the dotted names of what they call, without functions of certain names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and left_out(child.name):
            continue
        if isinstance(child, ast.Call):
            yield child, _dotted(child.func)
        yield from _calls(child, left_out)


def _dotted(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return f"{_dotted(function.value)}.{function.attr}"
    return function.id if isinstance(function, ast.Name) else ""


def _option_fields(module: ast.Module) -> Iterator[ast.AnnAssign]:
    """Yield the fields after `_: KW_ONLY` that classes named …Options declare themselves, all where there is no such line."""
    for owner in module.body:
        if isinstance(owner, ast.ClassDef) and owner.name.endswith("Options"):
            fields = [n for n in owner.body if isinstance(n, ast.AnnAssign) and isinstance(n.target, ast.Name)]
            marks = [k for k, field in enumerate(fields) if ast.unparse(field.annotation).endswith("KW_ONLY")]
            yield from fields[marks[0] + 1 if marks else 0 :]


def _assigned(module: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in module.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node


@cache
def _modules(tree: Path, folder: str) -> list[tuple[Path, ast.Module]]:
    paths = sorted((tree / folder).rglob("*.py"))
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def _place(tree: Path, path: Path, node: ast.AST) -> str:
    return f"{path.relative_to(tree)}:{getattr(node, 'lineno', 1)}"
