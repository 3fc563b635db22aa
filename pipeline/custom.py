"""Losses and policies from elsewhere: a class in a module on the import path or in the current folder, or one of a package.

Nothing of them is imported before it is asked for by name.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .errors import AevlpError
from .quiet import first_line

_KINDS = {kind.__name__: kind for kind in (int, float, bool, str)}
_KINDS |= {f"{name} | None": kind | None for name, kind in _KINDS.items()}  # type: ignore[misc]


@dataclass(frozen=True)
class Custom:
    """A kind of class that a user may bring.

    what: how one is called, as in "loss". example: of a name. group: the entry points by which packages announce theirs,
    name = "module:Class". methods: that its objects must have. expected: such a class, in words.
    """

    what: str
    example: str
    group: str
    methods: tuple[str, ...]
    expected: str

    def installed(self) -> dict[str, str]:
        """Return what installed packages announce: name -> "module:Class"; none of them is imported."""
        return _announced(self.group, tuple(sys.path))

    def is_named(self, name: str) -> bool:
        """Return whether a name is that of a class from elsewhere: "module:Class", or one that a package announces."""
        return ":" in name or name in self.installed()

    def load(self, name: str) -> type:
        """Import a class. Raises AevlpError where its module or class is not there, or its import fails."""
        place = self.installed().get(name, name)
        module_name, _, cls_name = place.partition(":")
        parts = [*module_name.split("."), cls_name]
        if not all(part.isidentifier() for part in parts) or module_name.endswith(".py"):
            raise AevlpError(
                f"a {self.what} of your own is named module:Class, as in {self.example}, without a path or .py, found {name!r}"
            )
        module = self._module(module_name, name)
        cls = getattr(module, cls_name, None)
        if cls is None:
            classes = [
                word
                for word, value in vars(module).items()
                if inspect.isclass(value) and value.__module__ == module.__name__
            ]
            raise AevlpError(f"{module_name} has no {cls_name}: its classes are {', '.join(classes) or 'none'}")
        if not inspect.isclass(cls) or not set(self.methods) <= set(dir(cls)):
            raise AevlpError(f"{place} is no {self.what}: expected {self.expected}")
        return cls

    def source_sha256(self, name: str) -> str | None:
        """Return the SHA-256 of the file that a class from elsewhere stands in, None for what comes with aevlp."""
        if not self.is_named(name):
            return None
        file = inspect.getsourcefile(self.load(name))
        return None if file is None else sha256(Path(file).read_bytes()).hexdigest()

    def written_constants(self, name: str) -> dict[str, inspect.Parameter] | None:
        """Return a class's constants as `keyword_constants` would, without running a line; None where its source does not say."""
        module, _, cls = self.installed().get(name, name).partition(":")
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

    def _module(self, module_name: str, name: str) -> Any:
        with current_folder_on_path():
            try:
                return import_module(module_name)
            except ModuleNotFoundError as error:
                if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
                    raise AevlpError(
                        f"{module_name} cannot be imported: it needs {error.name}, which is not installed"
                    ) from error
                raise AevlpError(
                    f"no module {module_name} for {self.what} {name}: expected {module_name.replace('.', '/')}.py in the current "
                    f"folder, or an installed package"
                ) from error
            except (Exception, SystemExit) as error:  # whatever code of somebody else raises
                raise AevlpError(f"{module_name} cannot be imported: {_where(error)}") from error


def require_reads(cls: type, reads: Any, readable: Sequence[str]) -> None:
    """Raise AevlpError where what a class says it reads is not a tuple of what can be read."""
    if not isinstance(reads, tuple | list | set) or not set(reads) <= set(readable):
        raise AevlpError(f"{cls.__name__}.reads must be a tuple of {', '.join(readable)}, found {reads!r}")


@cache
def _announced(group: str, path: tuple[str, ...]) -> dict[str, str]:
    """Return the entry points of a group on the import path; every package's metadata are read for that, so once."""
    return {point.name: point.value for point in metadata.entry_points(group=group)}


@contextmanager
def current_folder_on_path() -> Iterator[None]:
    """Look for modules in the current folder first, within the block."""
    folder = str(Path.cwd())
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _where(error: BaseException) -> str:
    """Return an error in one line, with the place in the file where it came up."""
    reason = first_line(error)
    if isinstance(error, SyntaxError):
        return reason
    trace: Any = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return (
        reason
        if trace is None
        else f"{reason} ({Path(trace.tb_frame.f_code.co_filename).name}, line {trace.tb_lineno})"
    )


def _parameter(written: ast.arg) -> inspect.Parameter:
    kind = inspect.Parameter.empty
    if written.annotation is not None:
        kind = _KINDS.get(ast.unparse(written.annotation), inspect.Parameter.empty)
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
