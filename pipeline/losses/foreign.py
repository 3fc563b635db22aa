"""Losses from elsewhere: a class in a module on the import path or in the current folder, or one that a package announces.

Nothing of them is imported before it is asked for by name.
"""

import inspect
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from ..errors import AevlpError
from .interface import READABLE

GROUP = "aevlp.losses"  # the entry points of packages that bring losses: name = "module:Class"


def installed() -> dict[str, str]:
    """Return the losses that installed packages announce: name -> "module:Class"; none of them is imported."""
    return {point.name: point.value for point in metadata.entry_points(group=GROUP)}


def is_named(name: str) -> bool:
    """Return whether a name is that of a foreign loss: "module:Class", or one that a package announces."""
    return ":" in name or name in installed()


def load(name: str) -> type:
    """Import a foreign loss's class. Raises AevlpError where its module or class is not there, or its import fails."""
    place = installed().get(name, name)
    module_name, _, cls_name = place.partition(":")
    parts = [*module_name.split("."), cls_name]
    if not all(part.isidentifier() for part in parts) or module_name.endswith(".py"):
        raise AevlpError(
            f"a loss of your own is named module:Class, as in my_losses:Focal, without a path or .py, found {name!r}"
        )
    with current_folder_on_path():
        try:
            module = import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not (module_name == error.name or module_name.startswith(f"{error.name}.")):
                raise AevlpError(
                    f"{module_name} cannot be imported: it needs {error.name}, which is not installed"
                ) from error
            raise AevlpError(
                f"no module {module_name} for loss {name}: expected {module_name.replace('.', '/')}.py in the current folder, or "
                f"an installed package"
            ) from error
        except (Exception, SystemExit) as error:  # whatever code of somebody else raises
            raise AevlpError(f"{module_name} cannot be imported: {_where(error)}") from error
    cls = getattr(module, cls_name, None)
    if cls is None:
        losses = [
            word
            for word, value in vars(module).items()
            if inspect.isclass(value) and value.__module__ == module.__name__
        ]
        raise AevlpError(f"{module_name} has no {cls_name}: its classes are {', '.join(losses) or 'none'}")
    if not inspect.isclass(cls) or "__call__" not in dir(cls):
        raise AevlpError(f"{place} is no loss: expected a class whose objects are called with logits and targets")
    return cls


def described(cls: type) -> tuple[str, int | None, str, tuple[str, ...], str, str, str]:
    """Return paper, year, title, reads, state, policy and head of a foreign loss: its attributes of these names, or defaults.

    Raises AevlpError where `reads` names what no loss can read.
    """
    reads = getattr(cls, "reads", ("observed", "pseudo"))
    if not isinstance(reads, tuple | list | set) or not set(reads) <= set(READABLE):
        raise AevlpError(f"{cls.__name__}.reads must be a tuple of {', '.join(READABLE)}, found {reads!r}")
    paper = getattr(cls, "paper", "-")
    rest = (getattr(cls, "state", "none"), getattr(cls, "policy", "damp"), getattr(cls, "head", "linear"))
    return paper, getattr(cls, "year", None), getattr(cls, "title", ""), tuple(reads), *rest


def source_sha256(name: str) -> str | None:
    """Return the SHA-256 of the file that a foreign loss's class stands in, None for any other loss."""
    if not is_named(name):
        return None
    file = inspect.getsourcefile(load(name))
    return None if file is None else sha256(Path(file).read_bytes()).hexdigest()


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
    reason = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
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
