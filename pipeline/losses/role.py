"""Regularised online label estimation, ROLE (Cole et al., Multi-Label Learning from Single Positive Labels, CVPR 2021)."""

import torch
from torch import Tensor, nn

from ..errors import AevlpError
from ..plugins import check_ranges
from .binary_cross_entropy import EPSILON, cross_entropies
from .interface import Targets, expected_positive_penalty, rows_of_table, wide


def initial_estimates(observed: Tensor, uniform: Tensor) -> Tensor:
    """Return the logits (N, C) that ROLE's label estimates start from, in the dtype of `uniform` and on its device.

    observed: (N, C) codes; a positive starts at a probability of 0.995, a negative at 0.005. uniform: (N, C) draws in [0, 1),
    which spread the unknown evenly in logit between 0.4 and 0.6 (Cole et al., CVPR 2021).
    """
    unknown, sure = torch.logit(torch.tensor([0.6, 0.995], dtype=torch.float64)).tolist()
    return torch.where(observed == 0, unknown * (2 * uniform - 1), sure * observed.to(uniform.dtype))


class OnlineEstimation(nn.Module):
    """ROLE: the classifier and a table of label estimates teach each other, both held to an expected number of positives.

    observed: (N, C) codes of the whole training set, of which `table`, a parameter of (N, C) float32 logits on their device, is
    made with draws of torch's global generator; without them `load_estimates` makes it. expected_positives: >= 0, an image.
    A call raises AevlpError without a table, or for `Targets.rows` that are missing or not in it.
    """

    lr_factor = 10.0
    table: nn.Parameter | None

    def __init__(self, num_classes: int, observed: Tensor | None = None, *, expected_positives: float = 1.5) -> None:
        super().__init__()
        check_ranges("loss role", ("expected_positives", expected_positives, expected_positives >= 0, "at least 0"))
        self.num_classes = num_classes
        self.expected_positives = expected_positives
        self.register_parameter("table", None)
        if observed is not None:
            self._check_columns("observed", observed)
            uniform = torch.rand(observed.shape).to(observed.device)
            self.table = nn.Parameter(initial_estimates(observed, uniform))

    def load_estimates(self, estimates: Tensor) -> None:
        """Start from earlier estimates: (N, C) probabilities, of which a table is made on their device where there is none.

        Raises AevlpError where the shape is not the table's, or a value is not in [0, 1].
        """
        self._check_columns("estimates", estimates)
        if not bool(((estimates >= 0) & (estimates <= 1)).all()):
            raise AevlpError("estimates of loss role must be probabilities in [0, 1]: pass sigmoids, not logits")
        logits = torch.logit(estimates.detach().double(), eps=EPSILON).float()
        if self.table is None:
            self.table = nn.Parameter(logits)
        elif self.table.shape != logits.shape:
            raise AevlpError(
                f"estimates of loss role must have the table's shape {tuple(self.table.shape)}, found {tuple(logits.shape)}"
            )
        else:
            with torch.no_grad():
                self.table.copy_(logits)

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def forward(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        if self.table is None:
            raise AevlpError(
                "loss role has no estimates: make it with observed=, the codes (N, C) of the training set, or call load_estimates"
            )
        estimates = self.table[rows_of_table(targets, self.table, "role")].to(logits.dtype)
        positive, negative = cross_entropies(logits)
        positive_estimate, negative_estimate = cross_entropies(estimates)

        known = torch.where(targets.observed == 1, positive + positive_estimate, torch.zeros_like(logits))
        p, q = logits.detach(), estimates.detach()
        classifier = q.sigmoid() * positive + (-q).sigmoid() * negative
        estimator = p.sigmoid() * positive_estimate + (-p).sigmoid() * negative_estimate
        penalties = [expected_positive_penalty(x, self.expected_positives) for x in (logits, estimates)]
        return ((known + classifier + estimator).mean() + sum(penalties)) / 2

    def _check_columns(self, name: str, table: Tensor) -> None:
        if table.ndim != 2 or table.shape[1] != self.num_classes:
            raise AevlpError(
                f"{name} of loss role must be (images, {self.num_classes} classes), found {tuple(table.shape)}"
            )
