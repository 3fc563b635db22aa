"""A loss's name -> the loss. Adding one is a file in this folder and a line in `TABLE`, or a class in a file of one's own."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..errors import AevlpError, unknown_name
from . import foreign
from .interface import READABLE, Targets, TrainingLoss

__all__ = [
    "READABLE",
    "TABLE",
    "LossEntry",
    "Targets",
    "TrainingLoss",
    "check_constants",
    "constants",
    "create",
    "entry",
    "names",
]

OBSERVED, PSEUDO = ("observed",), ("observed", "pseudo")
COLE = "Cole et al., Multi-Label Learning from Single Positive Labels"
ZHOU = "Zhou et al., Acknowledging the Unknown"
XING = "Xing et al., Vision-Language Pseudo-Labels"
KIM = "Kim et al., Large Loss Matters"
CHEN = "Chen et al., Boosting Single Positive Multi-label Classification"
ZHANG = "Zhang et al., Simple and Robust Loss Design"
TRAN = "Tran et al., More Reliable Pseudo-labels, Better Performance"


@dataclass(frozen=True)
class LossEntry:
    """Where a loss lives, which paper it is from, what it reads (`READABLE`) and what it remembers.

    policy: which labels it learns from unless others are asked for, where it reads pseudo-labels. head: that it needs.
    module, cls: in this folder; "" and a name for a loss from elsewhere.
    """

    module: str
    cls: str
    paper: str
    year: int | None
    reads: tuple[str, ...]
    state: str = "none"
    policy: str = "damp"
    head: str = "linear"


TABLE = {
    "gpr": LossEntry(
        "generalized_pseudo_label_robust", "GeneralizedPseudoLabelRobust", TRAN, 2025, PSEUDO, "epoch schedule"
    ),
    "bce": LossEntry("binary_cross_entropy", "BinaryCrossEntropy", f"full labels, in {COLE}", 2021, ("truth",)),
    "bce-ls": LossEntry(
        "binary_cross_entropy", "SmoothedBinaryCrossEntropy", f"full labels, in {COLE}", 2021, ("truth",)
    ),
    "an": LossEntry("assume_negative", "AssumeNegative", COLE, 2021, OBSERVED),
    "an-ls": LossEntry("assume_negative", "SmoothedAssumeNegative", COLE, 2021, OBSERVED),
    "wan": LossEntry("assume_negative", "WeakAssumeNegative", COLE, 2021, OBSERVED),
    "pr": LossEntry("pairwise_ranking", "PairwiseRanking", COLE, 2021, OBSERVED),
    "epr": LossEntry("expected_positives", "ExpectedPositives", COLE, 2021, OBSERVED),
    "iu": LossEntry("ignore_unobserved", "IgnoreUnobserved", COLE, 2021, OBSERVED),
    "iun": LossEntry("ignore_unobserved", "IgnoreUnobservedNegatives", f"{COLE}; {ZHOU}", 2021, ("observed", "truth")),
    "role": LossEntry("role", "OnlineEstimation", COLE, 2021, OBSERVED, "a learned table, image x class"),
    "em": LossEntry("entropy_maximization", "EntropyMaximization", ZHOU, 2022, OBSERVED),
    "em-apl": LossEntry(
        "entropy_maximization", "AsymmetricPseudoLabels", ZHOU, 2022, OBSERVED, "soft labels, image x class"
    ),
    "vlpl": LossEntry("vision_language", "VisionLanguage", XING, 2024, PSEUDO, "epoch switch", policy="vlpl"),
    "vlpl-asl": LossEntry(
        "vision_language", "AsymmetricVisionLanguage", XING, 2024, PSEUDO, "epoch switch", policy="vlpl"
    ),
    "ll-r": LossEntry("large_loss", "LargeLossRejection", KIM, 2022, OBSERVED, "epoch schedule"),
    "ll-ct": LossEntry("large_loss", "TemporaryCorrection", KIM, 2022, OBSERVED, "epoch schedule"),
    "ll-cp": LossEntry("large_loss", "PermanentCorrection", KIM, 2022, OBSERVED, "corrected labels, image x class"),
    "gr": LossEntry("generalized_robust", "GeneralizedRobust", CHEN, 2024, OBSERVED, "epoch schedule"),
    "hill": LossEntry("hill", "Hill", f"{ZHANG}, as in the code of Chen et al. 2024", 2021, OBSERVED),
    "gr-epr": LossEntry("generalized_robust_baselines", "PositivesAlone", f"in the code of {CHEN}", 2024, OBSERVED),
    "gr-weight": LossEntry("generalized_robust_baselines", "Weighted", f"in the code of {CHEN}", 2024, OBSERVED),
    "an-e7": LossEntry("pseudo_label_baselines", "AssumeNegative", f"in the code of {TRAN}", 2025, OBSERVED),
    "an-pl": LossEntry(
        "pseudo_label_baselines", "AssumeNegativeWithPseudoLabels", f"in the code of {TRAN}", 2025, PSEUDO
    ),
    "asl": LossEntry("asymmetric", "Asymmetric", "Ridnik et al., Asymmetric Loss", 2021, OBSERVED),
    "splc": LossEntry("self_paced_correction", "SelfPacedCorrection", ZHANG, 2021, OBSERVED, "epoch switch"),
    "smile": LossEntry(
        "label_enhancement", "LabelEnhancement", "Xu et al., One Positive Label is Sufficient", 2022, OBSERVED
    ),
    "mime": LossEntry(
        "mutual_information",
        "MutualInformation",
        "Liu et al., Revisiting Pseudo-Label for Single-Positive Multi-Label Learning",
        2023,
        ("observed", "latent"),
        "labels, image x class",
        head="latent",
    ),
    "cap": LossEntry(
        "class_aware", "ClassAware", "Xie et al., Class-Distribution-Aware Pseudo-Labeling", 2023, PSEUDO, policy="cap"
    ),
    "virtual-category": LossEntry(
        "virtual_category",
        "VirtualCategory",
        "Chen et al., Semi-supervised Object Detection via Virtual Category Learning",
        2022,
        ("observed", "scores"),
    ),
    "mulsupcon": LossEntry(
        "supervised_contrastive",
        "SupervisedContrastive",
        "Zhang and Wu, Multi-Label Supervised Contrastive Learning",
        2024,
        ("observed", "pseudo", "features"),
    ),
}


def names() -> list[str]:
    """Return the names of all losses that come with aevlp."""
    return list(TABLE)


def entry(name: str) -> LossEntry:
    """Return what is known of a loss: one of `TABLE`, an installed package's, or "module:Class", which is imported.

    Raises AevlpError for an unknown name, and for a module or class that is not there or is no loss.
    """
    if name in TABLE:
        return TABLE[name]
    if not foreign.is_named(name):
        raise unknown_name("loss", name, [*TABLE, *foreign.installed()])
    cls = foreign.load(name)
    return LossEntry("", name, *foreign.described(cls))


def constants(name: str) -> dict[str, Any]:
    """Return the keyword constants that a loss takes, with their defaults; AevlpError for an unknown loss."""
    return {parameter.name: parameter.default for parameter in _parameters(name)}


def check_constants(name: str, given: Mapping[str, Any]) -> None:
    """Raise AevlpError where a loss takes no constant of a given name, or a value is no number, or no list of them, as it must.

    Whether a number is in range is for the loss itself to say.
    """
    known = {parameter.name: parameter for parameter in _parameters(name)}
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
        if wanted is bool and not isinstance(value, bool):
            raise AevlpError(f"{constant} of loss {name} must be true or false, found {value!r}")
        if wanted is str and not isinstance(value, str):
            raise AevlpError(f"{constant} of loss {name} must be a word, found {value!r}")
        if wanted == Sequence[float] and (isinstance(value, str) or not _all_numbers(value)):
            raise AevlpError(f"{constant} of loss {name} must be a list of numbers, found {value!r}")


def remembers_images(name: str) -> bool:
    """Return whether a loss keeps something for each training image, and so wants `observed`, the codes (N, C) of all."""
    return "observed" in inspect.signature(_class(name)).parameters


def create(name: str, num_classes: int, observed: Any = None, **given: Any) -> TrainingLoss:
    """Return the loss `name` for `num_classes` classes; AevlpError for an unknown loss, or an unknown or odd constant.

    observed: (N, C) tensor of codes of the whole training set, for a loss that `remembers_images`, which without it remembers
    nothing; its device is the loss's.
    """
    check_constants(name, given)
    if observed is not None and remembers_images(name):
        given["observed"] = observed
    return _class(name)(num_classes, **given)


def _parameters(name: str) -> list[inspect.Parameter]:
    listed = inspect.signature(_class(name)).parameters.values()
    return [p for p in listed if p.kind is p.KEYWORD_ONLY and p.name != "observed"]


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
    found = entry(name)
    return getattr(import_module(f".{found.module}", __name__), found.cls) if found.module else foreign.load(name)
