"""A loss's name -> the loss. Adding one is a file in this folder and a line in `TABLE`, or a class in a file of one's own."""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..errors import AevlpError, unknown_name
from ..plugins import check, keyword_constants
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
    "create_loss",
    "entry",
    "loss_names",
]

OBSERVED, PSEUDO, FULL = ("observed",), ("observed", "pseudo"), ("truth",)
# Papers, by their authors, year and title.
COLE = ("Cole et al.", 2021, "Multi-Label Learning from Single Positive Labels")
RIDNIK = ("Ridnik et al.", 2021, "Asymmetric Loss for Multi-Label Classification")
ZHANG = ("Zhang et al.", 2021, "Simple and Robust Loss Design for Multi-Label Learning with Missing Labels")
CHEN_2022 = ("Chen et al.", 2022, "Semi-Supervised Object Detection via Virtual Category Learning")
KIM = ("Kim et al.", 2022, "Large Loss Matters in Weakly Supervised Multi-Label Classification")
XU = ("Xu et al.", 2022, "One Positive Label is Sufficient")
ZHOU = ("Zhou et al.", 2022, "Acknowledging the Unknown for Multi-Label Learning with Single Positive Labels")
DING = ("Ding et al.", 2023, "Exploring Structured Semantic Prior for Multi Label Recognition with Incomplete Labels")
LIU = ("Liu et al.", 2023, "Revisiting Pseudo-Label for Single-Positive Multi-Label Learning")
XIE = ("Xie et al.", 2023, "Class-Distribution-Aware Pseudo-Labeling for Semi-Supervised Multi-Label Learning")
CHEN = ("Chen et al.", 2024, "Boosting Single Positive Multi-label Classification with Generalized Robust Loss")
XING = ("Xing et al.", 2024, "Vision-Language Pseudo-Labels for Single-Positive Multi-Label Learning")
WU = ("Zhang and Wu", 2024, "Multi-Label Supervised Contrastive Learning")
ABDELFATTAH = (
    "Abdelfattah et al.",
    2023,
    "CDUL: CLIP-Driven Unsupervised Learning for Multi-Label Image Classification",
)
SHIM = ("Kim and Shim", 2025, "Classifier-guided CLIP Distillation for Unsupervised Multi-label Classification")
TRAN = ("Tran et al.", 2025, "More Reliable Pseudo-labels, Better Performance")


@dataclass(frozen=True)
class LossEntry:
    """Where a loss lives, which paper it is from, what it reads (`READABLE`) and what it remembers.

    module, cls: in this folder; "" and a name for a loss from elsewhere. paper: its authors. policy: which labels it learns from
    unless others are asked for, where it reads pseudo-labels or scores. head: that it needs. negatives: whether it is nothing
    without observed negatives.
    """

    module: str
    cls: str
    paper: str
    year: int | None
    title: str
    reads: tuple[str, ...]
    state: str = "none"
    policy: str = "damp"
    head: str = "linear"
    negatives: bool = False


TABLE = {
    "gpr": LossEntry(
        "generalized_pseudo_label_robust", "GeneralizedPseudoLabelRobust", *TRAN, PSEUDO, "epoch schedule"
    ),
    "bce": LossEntry("binary_cross_entropy", "BinaryCrossEntropy", *COLE, FULL),
    "bce-ls": LossEntry("binary_cross_entropy", "SmoothedBinaryCrossEntropy", *COLE, FULL),
    "an": LossEntry("assume_negative", "AssumeNegative", *COLE, OBSERVED),
    "an-ls": LossEntry("assume_negative", "SmoothedAssumeNegative", *COLE, OBSERVED),
    "wan": LossEntry("assume_negative", "WeakAssumeNegative", *COLE, OBSERVED),
    "pr": LossEntry("pairwise_ranking", "PairwiseRanking", *COLE, OBSERVED),
    "epr": LossEntry("expected_positives", "ExpectedPositives", *COLE, OBSERVED),
    "iu": LossEntry("ignore_unobserved", "IgnoreUnobserved", *COLE, OBSERVED, negatives=True),
    "iun": LossEntry("ignore_unobserved", "IgnoreUnobservedNegatives", *COLE, ("observed", "truth")),
    "role": LossEntry("role", "OnlineEstimation", *COLE, OBSERVED, "learned labels, image x class"),
    "em": LossEntry("entropy_maximization", "EntropyMaximization", *ZHOU, OBSERVED),
    "em-apl": LossEntry(
        "entropy_maximization", "AsymmetricPseudoLabels", *ZHOU, OBSERVED, "soft labels, image x class"
    ),
    "vlpl": LossEntry("vision_language", "VisionLanguage", *XING, PSEUDO, "epoch switch", policy="vlpl"),
    "vlpl-asl": LossEntry("vision_language", "AsymmetricVisionLanguage", *XING, PSEUDO, "epoch switch", policy="vlpl"),
    "ll-r": LossEntry("large_loss", "LargeLossRejection", *KIM, OBSERVED, "epoch schedule"),
    "ll-ct": LossEntry("large_loss", "TemporaryCorrection", *KIM, OBSERVED, "epoch schedule"),
    "ll-cp": LossEntry("large_loss", "PermanentCorrection", *KIM, OBSERVED, "corrected labels, image x class"),
    "gr": LossEntry("generalized_robust", "GeneralizedRobust", *CHEN, OBSERVED, "epoch schedule"),
    "hill": LossEntry("hill", "Hill", *ZHANG, OBSERVED),
    "gr-epr": LossEntry("generalized_robust_baselines", "PositivesAlone", *CHEN, OBSERVED),
    "gr-weight": LossEntry("generalized_robust_baselines", "Weighted", *CHEN, OBSERVED),
    "an-e7": LossEntry("pseudo_label_baselines", "AssumeNegative", *TRAN, OBSERVED),
    "an-pl": LossEntry("pseudo_label_baselines", "AssumeNegativeWithPseudoLabels", *TRAN, PSEUDO),
    "asl": LossEntry("asymmetric", "Asymmetric", *RIDNIK, OBSERVED),
    "splc": LossEntry("self_paced_correction", "SelfPacedCorrection", *ZHANG, OBSERVED, "epoch switch"),
    "smile": LossEntry("label_enhancement", "LabelEnhancement", *XU, OBSERVED),
    "mime": LossEntry(
        "mutual_information",
        "MutualInformation",
        *LIU,
        ("observed", "latent"),
        "labels, image x class",
        head="latent",
    ),
    "cap": LossEntry("class_aware", "ClassAware", *XIE, PSEUDO, policy="cap"),
    "ccd": LossEntry("soft_labels", "SoftBinaryCrossEntropy", *SHIM, ("observed", "scores"), policy="ccd"),
    "cdul": LossEntry("soft_labels", "Divergence", *ABDELFATTAH, ("observed", "scores"), policy="cdul"),
    "virtual-category": LossEntry(
        "virtual_category",
        "VirtualCategory",
        *CHEN_2022,
        ("observed", "pseudo", "features", "mirrored", "mirrored_features"),
    ),
    "virtual-category-thresholds": LossEntry(
        "virtual_category_thresholds", "VirtualCategoryThresholds", *CHEN_2022, ("observed", "scores")
    ),
    "mulsupcon": LossEntry(
        "supervised_contrastive",
        "SupervisedContrastive",
        *WU,
        ("observed", "pseudo", "features", "mirrored_features"),
        "queue of features",
    ),
    "scpnet": LossEntry(
        "structured_prior",
        "StructuredPrior",
        *DING,
        ("observed", "mirrored", "strong"),
        "last labels, image x class",
    ),
}


def loss_names() -> list[str]:
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
    return {constant: parameter.default for constant, parameter in _parameters(name).items()}


def check_constants(name: str, given: Mapping[str, Any]) -> None:
    """Raise AevlpError where a loss takes no constant of a given name, or a value is of another kind than it must be."""
    check(f"loss {name}", _parameters(name), given)


def remembers_images(name: str) -> bool:
    """Return whether a loss keeps something for each training image, and so wants `observed`, the codes (N, C) of all."""
    return "observed" in inspect.signature(_class(name)).parameters


def relates_labels(name: str) -> bool:
    """Return whether a loss wants `relation`, the similarities (C, C) of the class names."""
    return "relation" in inspect.signature(_class(name)).parameters


def create_loss(name: str, num_classes: int, observed: Any = None, relation: Any = None, **given: Any) -> TrainingLoss:
    """Return the loss `name` for `num_classes` classes; AevlpError for an unknown loss, or an unknown or odd constant.

    observed: (N, C) tensor of codes of the whole training set, for a loss that `remembers_images`, which without it remembers
    nothing; its device is the loss's. relation: (C, C) array of label similarities, for a loss that `relates_labels`.
    """
    check_constants(name, given)
    if observed is not None and remembers_images(name):
        given["observed"] = observed
    if relation is not None and relates_labels(name):
        given["relation"] = relation
    try:
        return _class(name)(num_classes, **given)
    except (TypeError, SystemExit) as error:
        if name in TABLE:
            raise
        made_with = ", ".join(["num_classes", *given])
        raise AevlpError(f"loss {name} cannot be made with ({made_with}): {type(error).__name__}: {error}") from error


def _parameters(name: str) -> dict[str, inspect.Parameter]:
    constants = keyword_constants(_class(name))
    return {key: parameter for key, parameter in constants.items() if key not in ("observed", "relation")}


def _class(name: str) -> Any:
    found = entry(name)
    return getattr(import_module(f".{found.module}", __name__), found.cls) if found.module else foreign.load(name)
