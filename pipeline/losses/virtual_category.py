"""Virtual categories (Chen et al., "Semi-supervised Object Detection via Virtual Category Learning", ECCV 2022; TPAMI 2024)."""

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, normalize, softplus

from ..errors import AevlpError
from ..plugins import check_ranges
from .interface import Targets, effective_codes, features_of, logits_of, wide

DETECTION = 3.5  # what the released detector divides a virtual logit by


def virtual_category_loss(logits: Tensor, targets: Tensor, gamma: float = 0.0, mask: Tensor | None = None) -> Tensor:
    """Return the log-sum-exp loss of each row, (B,): positives above negatives, with some classes left out.

    logits: (B, C), unbounded; float64 is computed in float64, anything else in float32. targets: (B, C); above 0 a positive of
    that weight, 0 a negative, below 0 ignored. gamma: >= 0, of the factor (1 - exp(-CE))^gamma, through which the gradient goes
    too. mask: (B, C) 0/1, which classes count, in the place of those with a target of at least 0. With A the sum of
    t exp(-x) over positives and N that of exp(x) over negatives, CE = ln(1 + A N); 0 where a row lacks either. Raises AevlpError
    for other shapes and a gamma below 0. Source: Chen et al., ECCV 2022, in the form of their program, which overflows beyond
    logits of about 88; this does not.
    """
    logits = wide(logits, targets, mask)
    if not gamma >= 0:
        raise AevlpError(f"gamma of virtual_category_loss must be at least 0, found {gamma}")
    counted = targets >= 0 if mask is None else mask != 0
    positive, negative = counted & (targets > 0), counted & (targets == 0)
    least = torch.full_like(logits, torch.finfo(logits.dtype).min)
    weight = torch.where(positive, targets.to(logits.dtype), torch.ones_like(logits)).log()
    below = torch.where(positive, weight - logits, least).logsumexp(dim=1)
    above = torch.where(negative, logits, least).logsumexp(dim=1)
    both = positive.any(dim=1) & negative.any(dim=1)
    log_product = torch.where(both, below + above, torch.zeros_like(below))  # of A and N
    # 1 - exp(-CE) = AN / (1 + AN), a sigmoid of ln AN.
    rows = softplus(log_product) * torch.exp(gamma * logsigmoid(log_product))
    return torch.where(both, rows, torch.zeros_like(rows))


class VirtualCategory:
    """Positives above certain negatives, and an image with ambiguous classes itself a positive: the mirrored view's embedding.

    The paper's: the loss of a row (`virtual_category_loss`); that a class on which two predictions disagree is pushed neither
    up nor down; that a virtual category takes its place above the certain negatives, whose logit is the feature's product with
    the unit embedding of the mirrored image, divided by `temperature`. Ours, because the paper has one label a sample: the
    positives are the observed and the pseudo-positives, and the other prediction is that of the classifier for the mirrored view,
    as many of its highest classes as there are positives, where the paper takes the highest one. A class of unknown label that
    just one of the two names is ambiguous, every other one that is no positive is a negative, and the virtual category counts
    where at least one class is ambiguous. An image without positives has no loss. The mirrored view carries no gradient.
    temperature: > 0. gamma: >= 0.
    """

    def __init__(self, num_classes: int, *, temperature: float = DETECTION, gamma: float = 0.0) -> None:
        check_ranges(
            "loss virtual-category",
            ("temperature", temperature, temperature > 0, "above 0"),
            ("gamma", gamma, gamma >= 0, "at least 0"),
        )
        self.num_classes, self.temperature, self.gamma = num_classes, temperature, gamma

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed, targets.pseudo)
        mirrored = logits_of(targets, "mirrored", logits, "virtual-category")
        features, embedding = (
            features_of(targets, name, logits, "virtual-category") for name in ("features", "mirrored_features")
        )
        if features.shape != embedding.shape:
            raise AevlpError(
                f"mirrored_features must have the shape of features, {tuple(features.shape)}, found {tuple(embedding.shape)}"
            )
        positive = effective_codes(targets) == 1
        named = highest(mirrored.detach(), positive.sum(dim=1))
        ambiguous = (targets.observed == 0) & (positive != named)
        codes = torch.where(ambiguous, -torch.ones_like(logits), positive.to(logits.dtype))
        confusing = torch.where(ambiguous.any(dim=1), 1, -1).to(logits.dtype)
        direction = normalize(embedding.detach(), dim=1, eps=1e-3)
        virtual = (features * direction).sum(dim=1) / self.temperature
        both = torch.cat([logits, virtual[:, None].to(logits.dtype)], dim=1)
        return virtual_category_loss(both, torch.cat([codes, confusing[:, None]], dim=1), self.gamma).mean()


def highest(logits: Tensor, number: Tensor) -> Tensor:
    """Return which classes are among each row's highest, (B, C) bool, of logits (B, C); number: (B,) how many, int64.

    Of equal ones the lower column.
    """
    places = logits.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
    return places < number[:, None]
