"""Label enhancement, SMILE (Xu et al., "One Positive Label is Sufficient", NeurIPS 2022)."""

import torch
from torch import Tensor

from ..plugins import check_ranges
from .assume_negative import AssumeNegative
from .binary_cross_entropy import EPSILON, cross_entropies
from .interface import Targets, wide
from .mutual_information import latent_divergence


class LabelEnhancement:
    """SMILE in the self-score form: soft labels half of the classifier's own scores, half of what is observed.

    mu: in [0, 1], the share of the own scores. p0: in [0, 1], what a label that is no observed positive is taken for. T: > 0,
    temperature of the scores. Unknown labels weigh 1 / (C - 1) with `bias`, else `rate` >= 0. The paper's full form takes the
    scores of a graph network instead, which is released for tabular data only. An observed negative, which the paper's setting
    does not have, is taken for p0 too, with weight 1.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        bias: bool = True,
        rate: float = 1.0,
        mu: float = 0.5,
        p0: float = 0.5,
        T: float = 1.0,
    ) -> None:
        check_ranges(
            "loss smile",
            ("rate", rate, rate >= 0, "at least 0"),
            ("mu", mu, 0 <= mu <= 1, "in [0, 1]"),
            ("p0", p0, 0 <= p0 <= 1, "in [0, 1]"),
            ("T", T, T > 0, "above 0"),
        )
        self.num_classes, self.mu, self.p0, self.T = num_classes, mu, p0, T
        self.unknown_weight = 1 / max(num_classes - 1, 1) if bias else rate

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed) / self.T
        prior = torch.where(targets.observed == 1, 1.0, torch.full_like(logits, self.p0))
        soft = self.mu * logits.detach().sigmoid() + (1 - self.mu) * prior
        entries = soft_cross_entropy(logits, soft)
        return torch.where(targets.observed == 0, self.unknown_weight * entries, entries).mean()


def soft_cross_entropy(logits: Tensor, soft: Tensor) -> Tensor:
    """Return -d ln(p + 1e-5) - (1 - d) ln(1 - p + 1e-5) of every entry, (B, C); d: soft labels in [0, 1], with gradient."""
    positive, negative = cross_entropies(logits)
    return soft * positive + (1 - soft) * negative


def beta_kl(soft: Tensor) -> Tensor:
    """Return the term that the full form calls its divergence, a scalar: mean of ln G(a) + ln G(b) + (a-1) psi(a) + (b-1) psi(b).

    soft: d in [0, 1], any shape; a = d + 1e-6, b = 1 - d + 1e-6, G the gamma and psi the digamma function. As released, with the
    sign of ln G that the divergence of a Beta from a uniform distribution does not have. Xu et al., NeurIPS 2022.
    """
    a, b = soft + 1e-6, 1 - soft + 1e-6
    terms = torch.lgamma(a) + torch.lgamma(b) + (a - 1) * torch.digamma(a) + (b - 1) * torch.digamma(b)
    return terms.mean()


def smile_image_loss(
    logits: Tensor,
    observed: Tensor,
    soft: Tensor,
    concentrations: tuple[Tensor, Tensor],
    latent: tuple[Tensor, Tensor],
    *,
    theta: float,
    alpha: float,
    beta: float,
    rz: float,
    rd: float,
) -> Tensor:
    """Return SMILE for images, as Liu et al. (ICML 2023) released it, for a training loop of one's own with the heads it needs.

    logits, observed: (B, C). soft: (B, C), labels drawn from Beta(a, b), in (0, 1); concentrations: those a and b, (B, C) each,
    above 0. latent: mean and deviation, any one shape, the deviation above 0. All but `observed` get a gradient. Weights: theta
    of the cross entropy with the soft labels, alpha of assume-negative on the logits, beta of assume-negative on the soft
    labels, rz and rd of the divergences of the latent and of the Beta. AevlpError where labels have not the logits' shape.
    """
    a, b = concentrations
    logits = wide(logits, observed, soft, a, b)
    drawn = torch.where(observed == 1, -torch.log(soft + EPSILON), torch.zeros_like(soft))
    drawn = torch.where(observed == 0, -torch.log(1 - soft + EPSILON), drawn)
    total = a + b
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(total)
    moments = (a - 1) * torch.digamma(a) + (b - 1) * torch.digamma(b) - (total - 2) * torch.digamma(total)
    return (
        theta * soft_cross_entropy(logits, soft).mean()
        + alpha * AssumeNegative(logits.shape[1])(logits, Targets(observed=observed))
        + beta * drawn.mean()
        + rz * latent_divergence(*latent)
        + rd * (moments - log_beta).mean()
    )
