"""The keyword constants of a loss, a policy or a regime, and whether values for them are of the right kind."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType
from typing import Any, get_args

from .errors import AevlpError, unknown_name

Parameters = Mapping[str, inspect.Parameter]


def keyword_constants(of: Callable[..., Any]) -> dict[str, inspect.Parameter]:
    """Return the parameters of a class or a function that are passed by keyword alone."""
    return {p.name: p for p in inspect.signature(of).parameters.values() if p.kind is p.KEYWORD_ONLY}


def require_known(owner: str, known: Parameters, given: Iterable[str]) -> None:
    """Raise AevlpError where `owner`, as in "loss gpr", takes no constant of a given name."""
    for constant in given:
        if constant not in known:
            raise (
                unknown_name(f"constant of {owner}", constant, known)
                if known
                else AevlpError(f"{owner} takes no constants, found {constant!r}")
            )


def check(owner: str, known: Parameters, given: Mapping[str, Any]) -> None:
    """Raise AevlpError as `require_known` does, and where a value is of another kind.

    Whether a number is in range is for the owner itself to say.
    """
    require_known(owner, known, given)
    for constant, value in given.items():
        kinds = get_args(known[constant].annotation) or (known[constant].annotation,)
        if kinds == (inspect.Parameter.empty,) and type(known[constant].default) in (int, float):
            kinds = (float,)  # a class of a user's own may leave the kind to the default
        if known[constant].annotation == Sequence[float]:
            kinds = (Sequence[float],)
        for kind, (words, fits) in _KINDS.items():
            if kind in kinds and not (fits(value) or (value is None and NoneType in kinds)):
                raise AevlpError(f"{constant} of {owner} must be {words}, found {value!r}")


def check_ranges(owner: str, *ranges: tuple[str, Any, bool, str]) -> None:
    """Raise AevlpError for the first constant of `owner` out of range; each is (name, value, whether it fits, range in words)."""
    for name, value, fits, range_ in ranges:
        if not fits:
            raise AevlpError(f"{name} of {owner} must be {range_}, found {value!r}")


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, str | bool) and math.isfinite(value)
    except (TypeError, ValueError, OverflowError):
        return False


def _is_whole(value: Any) -> bool:
    return _is_number(value) and float(value) == int(value)


def _all_numbers(values: Any) -> bool:
    try:
        return not isinstance(values, str) and all(_is_number(value) for value in values)
    except TypeError:
        return False


_KINDS = {
    int: ("a whole number", _is_whole),
    float: ("a number", _is_number),
    bool: ("true or false", lambda value: isinstance(value, bool)),
    str: ("a word", lambda value: isinstance(value, str)),
    Sequence[float]: ("a list of numbers", _all_numbers),
}
