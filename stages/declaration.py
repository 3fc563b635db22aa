"""An option is declared once, as a field of a dataclass: a Python function's signature and a command's options are made of it.

`takes(TrainOptions)` turns a function of one `TrainOptions` into one that is called with its fields, as
`train("cache/voc.h5", epochs=3)`. What a field may hold, its type, range, choices and parser, is what its annotation says to
Typer; both ways in are held to it.
"""

import inspect
import numbers
import os
import types
import typing
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, MISSING, dataclass, fields
from functools import cache, reduce, wraps
from operator import or_
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, ParamSpec, TypeVar, get_args, get_origin

import typer
from typer.models import ArgumentInfo, ParameterInfo

from ..pipeline.errors import AevlpError
from ..pipeline.files.locations import RemotePath, location

P = ParamSpec("P")
R = TypeVar("R")
O = TypeVar("O", bound="Options")  # noqa: E741
PYTHON_ONLY = "not an option of the command line"
AnyPath = str | os.PathLike[str]

if TYPE_CHECKING:

    class Place:
        """A field that is given as any path, such as a cache or a run that a function returned, and kept as a Path."""

        def __get__(self, of: Any, kind: Any = None) -> Path: ...
        def __set__(self, of: Any, given: AnyPath) -> None: ...
else:
    Place = Path


@dataclass(frozen=True)
class AlsoOption:
    """Says that an argument of a command may be given as an option too, such as `--cache`.

    beside: the option that the argument stands for where both are given with --resume, as in train --resume RUN --cache CACHE.
    """

    flag: str
    beside: str | None = None


@dataclass(frozen=True)
class Options:
    """What a function and its command are asked for, checked when it is made; its docstring is the command's help.

    progress: whether notes and progress are shown; None: as around the call, else where a person is looking.
    Raises AevlpError where a value is out of range, none of the choices, or of another kind than it must be.
    """

    _: KW_ONLY
    progress: Annotated[bool | None, PYTHON_ONLY] = None

    def __post_init__(self) -> None:
        for declared in declared_in(type(self)):
            object.__setattr__(self, declared.name, declared.checked(getattr(self, declared.name)))


@dataclass(frozen=True)
class Declared:
    """One option. kind: its type or a union, without the None that `optional` stands for. info: what Typer is told, if any."""

    name: str
    annotation: Any
    kind: Any
    optional: bool
    default: Any
    info: ParameterInfo | None
    also: str | None
    python_only: bool
    keyword: bool
    beside: str | None = None

    @property
    def plain(self) -> Any:
        """Its type as a signature shows it, which says what may be given."""
        kind = {Path: AnyPath, list[Path]: AnyPath | Sequence[AnyPath]}.get(self.kind, self.kind)
        return kind | None if self.optional else kind

    @property
    def kinds(self) -> tuple[Any, ...]:
        """The members of its union, its type where that is none."""
        return get_args(self.kind) if get_origin(self.kind) in (typing.Union, types.UnionType) else (self.kind,)

    @property
    def listed(self) -> Any:
        """The list that it may be, which is given an item at a time on the command line; None where it is none."""
        return next((kind for kind in self.kinds if kind in (list[Path], list[str])), None)

    @property
    def flag(self) -> str:
        """The option as it is written on the command line; an argument as the help has it."""
        if self.python_only:
            return self.name
        if isinstance(self.info, ArgumentInfo) and self.also is None:
            return self.info.metavar or self.name.upper()
        # In an annotation Typer takes what would be the default for the first name.
        names = (getattr(self.info, "default", None), *(getattr(self.info, "param_decls", None) or ()))
        named = [text for text in names if isinstance(text, str) and text.startswith("--")]
        return named[0].partition("/")[0] if named else f"--{self.name.replace('_', '-')}"

    def checked(self, value: Any) -> Any:
        """Return a value as the option keeps it: parsed, and a path where it is one."""
        if value is None and (self.optional or self.default is None):
            return None
        if dict[str, Any] in self.kinds and isinstance(value, dict) and all(isinstance(name, str) for name in value):
            return value
        if self.listed is not None:
            several = value if isinstance(value, list | tuple) else [value]
            return [self._path(part) if self.listed == list[Path] else self._text(part) for part in several]
        if Sequence[str] in self.kinds and not isinstance(value, str | os.PathLike):
            empty = isinstance(value, list | tuple) and not value and self.kind == Sequence[str]
            if not isinstance(value, list | tuple) or empty or not all(isinstance(name, str) for name in value):
                raise AevlpError(f"{self.flag}: expected a list of names, each a text, found {value!r}")
            return list(value)
        if (parser := getattr(self.info, "parser", None)) and isinstance(value, str | os.PathLike):
            try:
                return parser(value if isinstance(value, RemotePath) else os.fspath(value))
            except typer.BadParameter as error:
                raise AevlpError(f"{self.flag}: {error.message}") from error
        if get_origin(self.kind) is Literal:
            if not isinstance(value, str) or value not in get_args(self.kind):
                raise AevlpError(f"{self.flag}: {value!r} is not one of {', '.join(map(str, get_args(self.kind)))}")
            return value
        if self.kind is Path:
            return self._path(value)
        if self.kind in (int, float):
            return self._number(value)
        if not isinstance(value, tuple(get_origin(part) or part for part in get_args(self.kind) or [self.kind])):
            raise AevlpError(f"{self.flag}: expected {self._expected()}, found {value!r}")
        return value

    def _number(self, value: Any) -> Any:
        fits = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not fits or (self.kind is int and value % 1 != 0):  # nor of infinity and NaN
            raise AevlpError(f"{self.flag}: expected {self._expected()}, found {value!r}")
        low, high = getattr(self.info, "min", None), getattr(self.info, "max", None)
        if not ((low is None or value >= low) and (high is None or value <= high)):  # NaN is neither
            bounds = [f"{word} {end:g}" for word, end in (("at least", low), ("at most", high)) if end is not None]
            raise AevlpError(f"{self.flag}: expected {' and '.join(bounds)}, found {value:g}")
        return self.kind(value)  # type: ignore[arg-type]

    def _text(self, value: Any) -> str:
        if not isinstance(value, str | os.PathLike):
            raise AevlpError(f"{self.flag}: expected {self._written() or 'texts'}, found {value!r}")
        return os.fspath(value)

    def _path(self, value: Any) -> Path:
        try:
            return value if isinstance(value, Path) else location(os.fspath(value))
        except TypeError:
            raise AevlpError(f"{self.flag}: expected a path, found {value!r}") from None

    def _expected(self) -> str:
        words = {bool: "True or False", str: "a text", int: "a whole number", float: "a number"}
        return words.get(self.kind) or self._written() or "a path"

    def _written(self) -> str | None:
        """Return what stands for a value in the help of an option, if that is said."""
        return None if isinstance(self.info, ArgumentInfo) else getattr(self.info, "metavar", None)


@cache
def declared_in(options: type) -> tuple[Declared, ...]:
    """Return the options that a dataclass declares, in their order, arguments first and what is Python's alone last."""
    hints = typing.get_type_hints(options, include_extras=True)
    declared = [_declared(field, hints[field.name]) for field in fields(options)]
    return tuple(sorted(declared, key=lambda of: (of.keyword, of.python_only)))


def _declared(field: Any, annotation: Any) -> Declared:
    extras = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    kind = get_args(annotation)[0] if extras else annotation
    union = get_origin(kind) in (typing.Union, types.UnionType)
    choices = [part for part in get_args(kind) if part is not type(None)] if union else [kind]
    also = next((extra for extra in extras if isinstance(extra, AlsoOption)), None)
    default = field.default if field.default is not MISSING else inspect.Parameter.empty
    return Declared(
        field.name,
        annotation,
        reduce(or_, choices),
        union and len(choices) < len(get_args(kind)),
        default,
        next((extra for extra in extras if isinstance(extra, ParameterInfo)), None),
        also and also.flag,
        PYTHON_ONLY in extras,
        field.kw_only,
        also and also.beside,
    )


def takes(options: Callable[P, O]) -> Callable[[Callable[[O], R]], Callable[P, R]]:
    """Return the decorator that turns a function of one `options` into a function of its fields.

    The function it makes prints notes and progress where `progress` is true, by default in a terminal or a notebook.
    """

    def made(function: Callable[[O], R]) -> Callable[P, R]:
        cls = typing.cast(type, options)
        signature = _signature(cls, inspect.signature(function).return_annotation)

        @wraps(function)
        def called(*args: P.args, **kwargs: P.kwargs) -> R:
            from .console import narrated

            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}(): {error}") from None
            given = options(*args, **kwargs)
            with narrated(given.progress):
                return function(given)

        called.__signature__ = signature  # type: ignore[attr-defined]
        return called

    return made


def _signature(options: type, returns: Any) -> inspect.Signature:
    kinds = {True: inspect.Parameter.KEYWORD_ONLY, False: inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return inspect.Signature(
        [
            inspect.Parameter(one.name, kinds[one.keyword], default=one.default, annotation=one.plain)
            for one in declared_in(options)
        ],
        return_annotation=returns,
    )
