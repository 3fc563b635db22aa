"""The generalized robust loss, GR (Chen et al., Boosting Single Positive Multi-label Classification, IJCAI 2024)."""

from collections.abc import Sequence

from torch import Tensor

from ..errors import AevlpError
from .generalized_pseudo_label_robust import gpr_entries
from .interface import Targets, wide
from .schedules import gpr_schedule


class GeneralizedRobust:
    """GR: robust terms for unknown labels, without pseudo-labels and without a penalty on the number of positives.

    beta, alpha: the schedule's constants (`gpr_schedule`). q2, q3: > 0, exponents of the robust terms.
    linear_init: leading epochs that train the head alone. Before `set_epoch` the constants are those of epoch 1 of 8.
    An observed negative has no loss, as in the published program.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        beta: Sequence[float] = (0, 2, -2, -2),
        alpha: Sequence[float] = (0.5, 2, 0.8, 0.5),
        q2: float = 0.01,
        q3: float = 1.0,
        linear_init: int = 0,
    ) -> None:
        if not (q2 > 0 and q3 > 0):
            raise AevlpError(f"q2 and q3 of loss gr must be above 0, found {q2} and {q3}")
        if len(alpha) != 4 or alpha[1] <= 0 or alpha[3] <= 0:
            raise AevlpError(f"alpha of loss gr must be four numbers, both sigmas above 0, found {alpha}")
        self.num_classes = num_classes
        self.beta, self.alpha, self.linear_init = tuple(beta), tuple(alpha), linear_init
        self.q2, self.q3 = q2, q3
        self.set_epoch(1, max(8, linear_init + 1))

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.w, self.b, self.mu, self.sigma = gpr_schedule(epoch, epochs, self.linear_init, self.beta, self.alpha)

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        schedule = self.w, self.b, self.mu, self.sigma
        return gpr_entries(logits, targets.observed, None, schedule, (self.q2, self.q3), (1, 0), 1).mean()
