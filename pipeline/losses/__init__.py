"""A loss's name -> the loss. Adding one is a file in this folder and a line in `TABLE`."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..errors import AevlpError, unknown_name
from .interface import Targets, TrainingLoss

__all__ = ["TABLE", "LossEntry", "Targets", "TrainingLoss", "create", "names"]


@dataclass(frozen=True)
class LossEntry:
    """Where a loss lives, which paper it is from, and what it reads of the cache: observed, pseudo, scores or truth."""

    module: str
    cls: str
    paper: str
    year: int
    reads: tuple[str, ...]


TABLE = {
    "gpr": LossEntry(
        "generalized_pseudo_label_robust",
        "GeneralizedPseudoLabelRobust",
        "Tran et al., More Reliable Pseudo-labels, Better Performance",
        2025,
        ("observed", "pseudo"),
    ),
    "gr": LossEntry(
        "generalized_robust",
        "GeneralizedRobust",
        "Chen et al., Boosting Single Positive Multi-label Classification",
        2024,
        ("observed",),
    ),
    "an": LossEntry(
        "assume_negative",
        "AssumeNegative",
        "Cole et al., Multi-Label Learning from Single Positive Labels",
        2021,
        ("observed",),
    ),
    "bce": LossEntry(
        "binary_cross_entropy",
        "BinaryCrossEntropy",
        "full labels, the upper bound in Cole et al.",
        2021,
        ("truth",),
    ),
}


def names() -> list[str]:
    """Return the names of all losses."""
    return list(TABLE)


def constants(name: str) -> dict[str, Any]:
    """Return the keyword constants that a loss takes, with their defaults; AevlpError for an unknown loss."""
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(_class(name)).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def check_constants(name: str, given: Mapping[str, Any]) -> None:
    """Raise AevlpError where a loss takes no constant of a given name, or a value is no number, or no list of them, as it must.

    Whether a number is in range is for the loss itself to say.
    """
    known = {p.name: p for p in inspect.signature(_class(name)).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for constant, value in given.items():
        if constant not in known:
            raise (
                unknown_name(f"constant of loss {name}", constant, known)
                if known
                else AevlpError(f"loss {name} takes no constants, found {constant!r}")
            )
        wanted = known[constant].annotation
        if wanted in (int, float) and not _is_number(value):
            raise AevlpError(f"{constant} of loss {name} must be a number, found {value!r}")
        if wanted == Sequence[float] and (isinstance(value, str) or not _all_numbers(value)):
            raise AevlpError(f"{constant} of loss {name} must be a list of numbers, found {value!r}")


def create(name: str, num_classes: int, **given: Any) -> TrainingLoss:
    """Return the loss `name` for `num_classes` classes; AevlpError for an unknown loss, or an unknown or odd constant."""
    check_constants(name, given)
    return _class(name)(num_classes, **given)


def _is_number(value: Any) -> bool:
    try:
        return not isinstance(value, str | bool) and float(value) == float(value)
    except (TypeError, ValueError):
        return False


def _all_numbers(values: Any) -> bool:
    try:
        return all(_is_number(value) for value in values)
    except TypeError:
        return False


def _class(name: str) -> Any:
    if name not in TABLE:
        raise unknown_name("loss", name, TABLE)
    entry = TABLE[name]
    return getattr(import_module(f".{entry.module}", __name__), entry.cls)
