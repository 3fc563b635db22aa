"""A policy's name -> the policy: how cosines become label codes.

A new one is a file in this folder and a line in `TABLE`, or a class in a file of one's own.
"""

from dataclasses import dataclass
from importlib import import_module
from inspect import Parameter
from typing import Any

from ..errors import AevlpError, unknown_name
from ..method_names import current
from ..plugins import check, keyword_constants
from . import foreign
from .interface import Known, Labels, Policy

__all__ = [
    "TABLE",
    "Known",
    "Labels",
    "Policy",
    "PolicyEntry",
    "check_name",
    "constants",
    "create_policy",
    "parameters",
    "policy_names",
    "reads",
]


@dataclass(frozen=True)
class PolicyEntry:
    """Where a policy lives, which paper it is from, by its authors, year and title, and what it does, in a few words."""

    module: str
    cls: str
    what: str
    paper: str = "-"
    year: int | None = None
    title: str = ""


TRAN = ("Tran et al.", 2025, "More Reliable Pseudo-labels, Better Performance")
XING = ("Xing et al.", 2024, "Vision-Language Pseudo-Labels for Single-Positive Multi-Label Learning")
XIE = ("Xie et al.", 2023, "Class-Distribution-Aware Pseudo-Labeling for Semi-Supervised Multi-Label Learning")
RANK = (
    "Liu et al.",
    2025,
    "Reliable Representation Learning for Incomplete Multi-View Missing Multi-Label Classification",
)
WANG = ("Wang et al.", 2023, "Deep Partial Multi-Label Learning with Graph Disambiguation")
ZHOU = ("Zhou et al.", 2022, "Acknowledging the Unknown for Multi-Label Learning with Single Positive Labels")
MILLER = (
    "Miller et al.",
    2025,
    "SPARC: Score Prompting and Adaptive Fusion for Zero-Shot Multi-Label Recognition in Vision-Language Models",
)
SHIM = ("Kim and Shim", 2025, "Classifier-guided CLIP Distillation for Unsupervised Multi-label Classification")
ABDELFATTAH = (
    "Abdelfattah et al.",
    2023,
    "CDUL: CLIP-Driven Unsupervised Learning for Multi-Label Image Classification",
)
LIU = ("Liu et al.", 2023, "Revisiting Pseudo-Label for Single-Positive Multi-Label Learning")
ZHAI = ("Zhai et al.", 2023, "Sigmoid Loss for Language Image Pre-Training")
TABLE = {
    "damp": PolicyEntry("damp", "Damp", "whole image and gated tiles, the best few above a threshold", *TRAN),
    "global": PolicyEntry("damp", "Global", "as damp, from the whole image alone", *TRAN),
    "vlpl": PolicyEntry("vlpl", "Vlpl", "whole image, all classes above a threshold", *XING),
    "threshold": PolicyEntry("threshold", "Threshold", "a threshold for each class, from aevlp calibrate"),
    "top-k": PolicyEntry("top_k", "TopK", "each image's best classes, whatever their score"),
    "sigmoid": PolicyEntry(
        "sigmoid", "Sigmoid", "each class on its own, by a sigmoid-scored model's scale and bias", *ZHAI
    ),
    "cap": PolicyEntry("cap", "Cap", "as many images a class as its frequency says", *XIE),
    "view-weights": PolicyEntry(
        "view_weights", "ViewWeights", "as damp, with a fitted weight a view, from aevlp calibrate"
    ),
    "view-quality": PolicyEntry(
        "view_quality", "ViewQuality", "views fused by their quality, which a network sees, from aevlp calibrate", *RANK
    ),
    "label-propagation": PolicyEntry(
        "label_propagation", "LabelPropagation", "propagated between like images and like classes, each epoch", *WANG
    ),
    "ccd": PolicyEntry("ccd", "Ccd", "whole image without the bias of CLIP, corrected by tiles", *SHIM),
    "sparc": PolicyEntry("sparc", "Sparc", "sentences that name several classes, over all images", *MILLER),
    "cdul": PolicyEntry(
        "cdul", "Cdul", "whole image and best tile, moved by the classifier's predictions", *ABDELFATTAH
    ),
    "apl": PolicyEntry("apl", "Apl", "negatives from the classifier's own predictions", *ZHOU),
    "mime": PolicyEntry("mime", "Mime", "positives from the classifier's own predictions", *LIU),
    "oracle": PolicyEntry("oracle", "Oracle", "the truth, for upper bounds"),
}


def policy_names() -> list[str]:
    """Return the names of all policies that come with aevlp."""
    return list(TABLE)


def constants(name: str) -> dict[str, Any]:
    """Return the keyword constants that a policy takes, with their defaults, `inspect.Parameter.empty` where it has none."""
    return {constant: parameter.default for constant, parameter in parameters(name).items()}


def parameters(name: str) -> dict[str, Parameter]:
    """Return the keyword constants that a policy takes, with their kinds; AevlpError for an unknown policy."""
    return keyword_constants(_class(name))


def create_policy(name: str, **given: Any) -> Policy:
    """Return the policy `name`; AevlpError for an unknown one, an unknown, odd or missing constant, or one out of range."""
    known = parameters(name)
    check(f"policy {name}", known, given)
    missing = [word for word, parameter in known.items() if parameter.default is parameter.empty and word not in given]
    if missing:
        raise AevlpError(f"policy {name} needs the constants {', '.join(missing)}")
    try:
        return _class(name)(**given)
    except (TypeError, SystemExit) as error:
        if name in TABLE:
            raise
        raise AevlpError(
            f"policy {name} cannot be made with ({', '.join(given)}): {type(error).__name__}: {error}"
        ) from error


def reads(name: str) -> tuple[str, ...]:
    """Return what a policy reads besides cosines and observed labels (`interface.READABLE`)."""
    return _class(name).reads


def check_name(name: str) -> None:
    """Raise AevlpError for a name that no policy has; one from elsewhere is not imported."""
    if current(name) not in TABLE and not foreign.is_named(name):
        raise unknown_name("policy", name, [*TABLE, *foreign.installed()])


def _class(name: str) -> Any:
    check_name(name)
    name = current(name)
    if name not in TABLE:
        return foreign.load(name)
    return getattr(import_module(f".{TABLE[name].module}", __name__), TABLE[name].cls)
