"""The source of a loss from elsewhere -> the constants it takes, without running a line of it."""

import ast
import inspect
from importlib.util import find_spec
from pathlib import Path

from .foreign import current_folder_on_path, installed

KINDS = {kind.__name__: kind for kind in (int, float, bool, str)}
KINDS |= {f"{name} | None": kind | None for name, kind in KINDS.items()}  # type: ignore[misc]


def written_constants(name: str) -> dict[str, inspect.Parameter] | None:
    """Return the keyword constants of a foreign loss as `keyword_constants` would; None where its source does not say them."""
    module, _, cls = installed().get(name, name).partition(":")
    source = _source(module)
    try:
        tree = ast.parse(source) if source is not None else None
    except (SyntaxError, ValueError):
        return None
    made = [
        of
        for node in (tree.body if tree else ())
        if isinstance(node, ast.ClassDef) and node.name == cls
        for of in node.body
        if isinstance(of, ast.FunctionDef) and of.name == "__init__"
    ]
    if not made or made[-1].args.kwarg is not None or made[-1].decorator_list:
        return None
    return {a.arg: _parameter(a) for a in made[-1].args.kwonlyargs if a.arg != "observed"}


def _parameter(written: ast.arg) -> inspect.Parameter:
    kind = inspect.Parameter.empty
    if written.annotation is not None:
        kind = KINDS.get(ast.unparse(written.annotation), inspect.Parameter.empty)
    return inspect.Parameter(written.arg, inspect.Parameter.KEYWORD_ONLY, annotation=kind)


def _source(module: str) -> bytes | None:
    """Return the source of a module that is on the import path or in the current folder; None where there is none."""
    top, *inner = module.split(".")
    try:
        with current_folder_on_path():
            spec = find_spec(top)  # which imports nothing, as it would for what is inside a package
        if spec is None or spec.origin is None:
            return None
        file = Path(spec.origin)
        if inner:
            file = file.parent.joinpath(*inner).with_suffix(".py")
        return file.read_bytes()
    except (OSError, ValueError, ImportError):
        return None
