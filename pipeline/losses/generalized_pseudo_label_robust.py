"""The generalized pseudo-label robust loss, GPR (Tran et al., ICCV 2025, arXiv 2508.20381)."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..plugins import check_ranges
from .interface import Targets, expected_positive_penalty, negative_log, wide
from .schedules import gpr_schedule

EPSILON = 1e-7


class GeneralizedPseudoLabelRobust:
    """GPR as the published program computes it: the weight of an observed positive is 1.

    beta, alpha: the schedule's constants (`gpr_schedule`). q2, q3: > 0, exponents of the robust terms for unknown labels.
    lam_1, lam_2: upper and lower end of a pseudo-positive's weight. rho: in [0, 1], trust in a pseudo-positive.
    reg: >= 0, weight of the penalty on the number of positives; expected_positives: that number an image.
    linear_init: leading epochs that train the head alone. Before `set_epoch` the constants are those of epoch 1 of 8.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        beta: Sequence[float] = (0, 2, -2, -2),
        alpha: Sequence[float] = (0.5, 2, 0.8, 0.5),
        q2: float = 0.01,
        q3: float = 1.0,
        lam_1: float = 0.8,
        lam_2: float = 0.3,
        rho: float = 0.9,
        reg: float = 0.001,
        expected_positives: float = 1.5,
        linear_init: int = 0,
    ) -> None:
        check_ranges(
            "loss gpr",
            ("q2", q2, q2 > 0, "above 0"),
            ("q3", q3, q3 > 0, "above 0"),
            ("rho", rho, 0 <= rho <= 1, "in [0, 1]"),
            ("reg", reg, reg >= 0, "at least 0"),
            ("alpha", alpha, len(alpha) == 4 and alpha[1] > 0 and alpha[3] > 0, "four numbers, both sigmas above 0"),
        )
        self.num_classes = num_classes
        self.beta, self.alpha, self.linear_init = tuple(beta), tuple(alpha), linear_init
        self.q2, self.q3, self.lam_1, self.lam_2, self.rho = q2, q3, lam_1, lam_2, rho
        self.reg, self.expected_positives = reg, expected_positives
        self.set_epoch(1, max(8, linear_init + 1))

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.w, self.b, self.mu, self.sigma = gpr_schedule(epoch, epochs, self.linear_init, self.beta, self.alpha)

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed, targets.pseudo)
        entries = gpr_entries(
            logits,
            targets.observed,
            targets.pseudo,
            (self.w, self.b, self.mu, self.sigma),
            (self.q2, self.q3),
            (self.lam_1, self.lam_2),
            self.rho,
        )
        return entries.mean() + self.reg * expected_positive_penalty(logits, self.expected_positives)


def gpr_entries(
    logits: Tensor,
    observed: Tensor,
    pseudo: Tensor | None,
    schedule: tuple[float, float, float, float],
    powers: tuple[float, float],
    lam: tuple[float, float],
    rho: float,
) -> Tensor:
    """Return the loss of every entry, (B, C); without pseudo-labels only observed positives and unknowns have one."""
    w, b, mu, sigma = schedule
    q2, q3 = powers
    p = logits.detach().sigmoid()
    trust = torch.sigmoid(w * p + b)
    weight = torch.exp(-(((p - mu) / sigma) ** 2) / 2)
    positive, negative = negative_log(logits, EPSILON), negative_log(-logits, EPSILON)

    # (1 - p^q) / q from ln p: the power itself overflows in the backward pass once p is denormal.
    as_positive = -torch.expm1(q2 * logsigmoid(logits)) / q2
    as_negative = -torch.expm1(q3 * logsigmoid(-logits)) / q3
    unknown = weight * (trust * as_positive + (1 - trust) * as_negative)

    zero = torch.zeros_like(logits)
    if pseudo is None:
        return torch.where(observed == 1, positive, torch.where(observed == 0, unknown, zero))
    code = torch.where(observed != 0, observed, pseudo)
    bounded = weight.clamp(min=1 - lam[0]).clamp(max=1 - lam[1])
    pseudo_positive = (1 - bounded) * (rho * positive + (1 - rho) * negative)
    entries = torch.where(code == 0, unknown, zero)
    entries = torch.where(code == -1, weight * negative, entries)
    entries = torch.where(code == 1, pseudo_positive, entries)
    return torch.where(observed == 1, positive, entries)
