"""What the best weights of a run say of a split: its file, from which figures and thresholds are made without the model."""

from pathlib import Path

import numpy as np
import torch

from ..errors import AevlpError
from .checkpoint import load_tensors, save_tensors


def save(file: Path, rows: np.ndarray, logits: np.ndarray) -> None:
    """Write rows of the cache (n,) and logits (n, C)."""
    save_tensors(file, {"rows": torch.from_numpy(rows), "logits": torch.from_numpy(logits)}, {})


def load(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return what `save` wrote; AevlpError where nothing is."""
    if not file.exists():
        raise AevlpError(
            f"{file.parent}: no {file.name} in it: its training is not finished, or the file was deleted; delete the folder to "
            f"train it anew"
        )
    try:
        tensors, _ = load_tensors(file)
    except AevlpError as error:
        raise AevlpError(f"{error}; delete the folder {file.parent} to train it anew") from error
    if not {"rows", "logits"} <= set(tensors):
        raise AevlpError(f"{file} holds no logits of a split")
    return tensors["rows"].numpy(), tensors["logits"].numpy()
