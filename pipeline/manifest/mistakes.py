"""What pydantic finds wrong in a manifest -> its mistakes, each with its place and, for an unknown key, the known ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..errors import AevlpError, counted, nearest, some

_FORMAT = 2  # the part of a place that is the format which pydantic chose by, and no key of the file
_SHOWN = 6  # known keys


@dataclass(frozen=True)
class Mistake:
    """place: the keys that lead to it, as datasets, photos, damp, topk. text: what is wrong there.

    readers: the formats that read a key which this one does not.
    """

    place: tuple[str, ...]
    text: str
    readers: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{'.'.join(self.place) or 'top level'}: {self.text}"


class ManifestError(AevlpError):
    """What is wrong in the content of a manifest, whether or not it is written at `path`."""

    def __init__(self, path: Path, mistakes: Sequence[Mistake]) -> None:
        super().__init__(f"{counted(len(mistakes), 'mistake')} in the manifest {path}: {'; '.join(map(str, mistakes))}")
        self.mistakes = mistakes


def mistakes_of(error: ValidationError, manifest: type[BaseModel]) -> list[Mistake]:
    """Return what is wrong with a content that was to be a `manifest`."""
    return [_mistake(found, manifest) for found in error.errors()]


def _mistake(error: Any, manifest: type[BaseModel]) -> Mistake:
    steps = error["loc"]
    place = tuple(str(step) for number, step in enumerate(steps) if number != _FORMAT)
    if error["type"] == "missing":
        return Mistake(place, "missing")
    if error["type"] == "extra_forbidden":
        return _unknown_key(steps, place, manifest)
    return Mistake(place, str(error["msg"]).removeprefix("Value error, "))


def _unknown_key(steps: Sequence[str | int], place: tuple[str, ...], manifest: type[BaseModel]) -> Mistake:
    key = str(steps[-1])
    if len(steps) == _FORMAT + 2 and (readers := tuple(_readers(key, _sections(manifest, steps[:_FORMAT])))):
        read_by = f"the format{'s' * (len(readers) > 1)} {', '.join(readers)}"
        text = f"unknown key: it is for {read_by}, and this is `format: {steps[_FORMAT]}`: leave it out"
        return Mistake(place, text, readers)
    known = [name for section in _sections(manifest, steps[:-1]) for name in section.model_fields]
    return Mistake(place, f"unknown key: known are {some(nearest(key, known), _SHOWN)}" if known else "unknown key")


def _readers(key: str, entries: Sequence[type[BaseModel]]) -> list[str]:
    return [str(_format(entry)) for entry in entries if key in entry.model_fields]


def _sections(manifest: type[BaseModel], steps: Sequence[str | int]) -> list[type[BaseModel]]:
    """Return what may stand at a place, one of several entries where its format is not said."""
    at: Any = manifest
    for step in steps:
        at = _below(at, step)
    return [kind for kind in _kinds(at) if _is_section(kind)]


def _below(kind: Any, step: str | int) -> Any:
    """Return what stands below a step of a place, None where nothing says it."""
    kinds = _kinds(kind)
    if len(kinds) > 1 and (named := [one for one in kinds if _is_section(one) and _format(one) == step]):
        return named[0]
    for one in kinds:
        if _is_section(one) and step in one.model_fields:
            return one.model_fields[step].annotation
        if get_origin(one) in (dict, tuple):
            return get_args(one)[get_origin(one) is dict]
    return None


def _format(entry: type[BaseModel]) -> str | None:
    named = entry.model_fields.get("format")
    return get_args(named.annotation)[0] if named is not None and get_args(named.annotation) else None


def _kinds(kind: Any) -> list[Any]:
    """Return the members of a union, a kind alone otherwise, without what is said of it besides."""
    if get_origin(kind) is Annotated:
        return _kinds(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [one for member in get_args(kind) for one in _kinds(member)]
    return [kind]


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
