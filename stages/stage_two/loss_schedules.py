"""A loss and its constants -> what it changes from epoch to epoch."""

from collections.abc import Mapping
from typing import Any

from ...pipeline.losses import create_loss
from ...pipeline.losses.interface import Scheduled


def loss_schedules(name: str, num_classes: int, constants: Mapping[str, Any], epochs: int) -> dict[str, list[float]]:
    """Return the values, one an epoch, of each number that a loss changes with the epoch; none for one that changes nothing.

    Raises AevlpError where the loss cannot be made from these alone, as one that reads the relation of classes.
    """
    loss = create_loss(name, num_classes, **constants)
    if not isinstance(loss, Scheduled):
        return {}
    values: dict[str, list[float]] = {}
    for epoch in range(1, epochs + 1):
        loss.set_epoch(epoch, epochs)
        for key, value in vars(loss).items():
            if not key.startswith("_") and isinstance(value, int | float) and not isinstance(value, bool):
                values.setdefault(key, []).append(float(value))
    return {
        key: of
        for key, of in values.items()
        if len(of) == epochs and len(set(of)) > 1 and key not in ("epoch", "epochs")
    }
