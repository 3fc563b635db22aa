"""Progress through training -> a hyperparameter's value. Epochs count from 1."""

from collections.abc import Sequence

from ..errors import AevlpError


def gpr_schedule(
    epoch: int,
    epochs: int,
    linear_init: int = 0,
    beta: Sequence[float] = (0, 2, -2, -2),
    alpha: Sequence[float] = (0.5, 2, 0.8, 0.5),
) -> tuple[float, float, float, float]:
    """Return (w, b, mu, sigma) of the robust losses (Chen et al. 2024; Tran et al. 2025) in `epoch` of `epochs`.

    beta: w and b, each at the start and at the end: (w_0, w_max, b_0, b_max). alpha: (mu_0, sigma_0, mu_max, sigma_max).
    linear_init: leading epochs that train the head alone, in [0, epochs). As published, w and b lag one epoch behind and
    never reach their ends, while mu and sigma have moved in the first epoch and arrive. Raises AevlpError out of range.
    """
    if not 0 <= linear_init < epochs:
        raise AevlpError(
            f"linear_init must be at least 0 and below the number of epochs, {epochs}, found {linear_init}"
        )
    if not 1 <= epoch <= epochs:
        raise AevlpError(f"an epoch counts from 1 to {epochs}, found {epoch}")
    if len(beta) != 4 or len(alpha) != 4:
        raise AevlpError(f"beta and alpha take four numbers each, found {len(beta)} and {len(alpha)}")
    w_0, w_max, b_0, b_max = beta
    mu_0, sigma_0, mu_max, sigma_max = alpha
    late = max(epoch - linear_init - 1, 0) / (epochs - linear_init)
    early = max(epoch - linear_init, 0) / (epochs - linear_init)
    return (
        w_0 + (w_max - w_0) * late,
        b_0 + (b_max - b_0) * late,
        mu_0 + (mu_max - mu_0) * early,
        sigma_0 + (sigma_max - sigma_0) * early,
    )


def clean_rate(epoch: int, delta_percent: float) -> float:
    """Return the share of labels taken as clean in `epoch` by the large-loss schemes (Kim et al., CVPR 2022).

    It starts at 1 and falls by delta_percent / 100 after each epoch, subtracted one epoch after the other: the rounding of
    that is part of the published schedule.
    """
    if epoch < 1:
        raise AevlpError(f"an epoch counts from 1, found {epoch}")
    rate = 1.0
    for _ in range(epoch - 1):
        rate -= delta_percent / 100
    return rate
