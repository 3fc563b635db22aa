"""A policy's name -> the policy: how cosines become label codes. A new one is a file in this folder and a line in `TABLE`."""

import inspect
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..errors import AevlpError, unknown_name
from .interface import Known, Labels, Policy

__all__ = ["TABLE", "Known", "Labels", "Policy", "PolicyEntry", "constants", "create", "names"]


@dataclass(frozen=True)
class PolicyEntry:
    """Where a policy lives, which paper it is from, and what it does, in a few words."""

    module: str
    cls: str
    paper: str
    year: int | None
    what: str


TRAN = "Tran et al., More Reliable Pseudo-labels, Better Performance"
TABLE = {
    "damp": PolicyEntry("damp", "Damp", TRAN, 2025, "whole image and gated tiles, the best few above a threshold"),
    "global": PolicyEntry("damp", "Global", TRAN, 2025, "as damp, from the whole image alone"),
    "vlpl": PolicyEntry(
        "vlpl", "Vlpl", "Xing et al., Vision-Language Pseudo-Labels", 2024, "whole image, all above a threshold"
    ),
    "threshold": PolicyEntry("threshold", "Threshold", "", None, "a threshold and a temperature for each class"),
    "top-k": PolicyEntry("top_k", "TopK", "", None, "each image's best classes, whatever their score"),
    "cap": PolicyEntry(
        "cap",
        "Cap",
        "Xie et al., Class-Distribution-Aware Pseudo-Labeling",
        2023,
        "as many images a class as its frequency says",
    ),
    "view-quality": PolicyEntry(
        "view_quality",
        "ViewQuality",
        "Liu et al., Reliable Representation Learning for Incomplete Multi-View Missing Multi-Label Classification",
        2025,
        "as damp, with a learned weight a view",
    ),
    "plain": PolicyEntry(
        "plain",
        "Plain",
        "Wang et al., Deep Partial Multi-Label Learning with Graph Disambiguation",
        2023,
        "labels propagated between like images and like classes",
    ),
    "apl": PolicyEntry(
        "apl", "Apl", "Zhou et al., Acknowledging the Unknown", 2022, "negatives from the classifier's own predictions"
    ),
    "mime": PolicyEntry(
        "mime",
        "Mime",
        "Liu et al., Revisiting Pseudo-Label for Single-Positive Multi-Label Learning",
        2023,
        "positives from the classifier's own predictions",
    ),
    "oracle": PolicyEntry("oracle", "Oracle", "", None, "the truth, for upper bounds"),
}


def names() -> list[str]:
    """Return the names of all policies."""
    return list(TABLE)


def constants(name: str) -> dict[str, Any]:
    """Return the keyword constants that a policy takes, with their defaults, `inspect.Parameter.empty` where it has none."""
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(_class(name)).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }


def create(name: str, **given: Any) -> Policy:
    """Return the policy `name`; AevlpError for an unknown one, an unknown or missing constant, or one out of range."""
    known = constants(name)
    for constant in given:
        if constant not in known:
            raise (
                unknown_name(f"constant of policy {name}", constant, known)
                if known
                else AevlpError(f"policy {name} takes no constants, found {constant!r}")
            )
    missing = [word for word, default in known.items() if default is inspect.Parameter.empty and word not in given]
    if missing:
        raise AevlpError(f"policy {name} needs the constants {', '.join(missing)}")
    return _class(name)(**given)


def _class(name: str) -> Any:
    if name not in TABLE:
        raise unknown_name("policy", name, TABLE)
    return getattr(import_module(f".{TABLE[name].module}", __name__), TABLE[name].cls)
