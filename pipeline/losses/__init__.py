"""A loss's name -> the loss. Adding one is a file in this folder and a line in `TABLE`."""

import inspect
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


def create(name: str, num_classes: int, **given: Any) -> TrainingLoss:
    """Return the loss `name` for `num_classes` classes; AevlpError for an unknown name or constant."""
    known = constants(name)
    for constant in given:
        if constant not in known:
            raise (
                unknown_name(f"constant of loss {name}", constant, known)
                if known
                else AevlpError(f"loss {name} takes no constants, found {constant!r}")
            )
    return _class(name)(num_classes, **given)


def _class(name: str) -> Any:
    if name not in TABLE:
        raise unknown_name("loss", name, TABLE)
    entry = TABLE[name]
    return getattr(import_module(f".{entry.module}", __name__), entry.cls)
