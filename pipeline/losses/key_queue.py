"""A queue of keys and their labels, from which a contrastive loss takes more references than a batch has."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize


class KeyQueue:
    """The last `capacity` keys, first in, first out, all unit vectors; at the start random ones without a label.

    Each step reads it as it was before the step (`read`), then stores its own keys (`store`). It is used from the step on at
    which it fills up, and at that very step its free places still hold the random vectors, as in Zhang and Wu's program (AAAI
    2024). Ours: batches may be of any size. The random vectors are the same in every process.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity, self.stored = capacity, 0
        self.keys: Tensor | None = None
        self.labels: Tensor | None = None

    def read(self, keys: Tensor, labels: Tensor) -> tuple[Tensor, Tensor] | None:
        """Return the keys (capacity, D) and labels (capacity, C) bool as they are, None before the queue is used.

        keys, labels: (B, D) and (B, C) bool, those that will be stored next.
        """
        if not self.capacity or self.stored + len(keys) < self.capacity:
            return None
        held, marks = self._held(keys, labels)
        return held.clone(), marks.clone()

    def store(self, keys: Tensor, labels: Tensor) -> None:
        """Store the keys (B, D) and labels (B, C) bool of a batch in the places of the oldest."""
        if not self.capacity:
            return
        held, marks = self._held(keys, labels)
        newest = slice(max(0, len(keys) - self.capacity), None)
        places = torch.arange(self.stored, self.stored + len(keys), device=held.device)[newest] % self.capacity
        held[places] = normalize(keys[newest].detach().to(held.dtype), dim=1, eps=1e-3)
        marks[places] = labels[newest]
        self.stored += len(keys)

    def state_dict(self) -> dict[str, Any]:
        """Return what is stored, for `load_state_dict`."""
        tensors = {"keys": self.keys, "labels": self.labels}
        return {} if self.keys is None else {**tensors, "stored": self.stored}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Become the queue that `state_dict` was taken of."""
        self.stored = int(state.get("stored", 0))
        self.keys, self.labels = (state[name].clone() if name in state else None for name in ("keys", "labels"))

    def _held(self, keys: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the tensors, on the device of those that come, made where there are none."""
        if self.keys is None or self.labels is None:
            random = torch.randn(self.capacity, keys.shape[1], generator=torch.Generator().manual_seed(0))
            self.keys = normalize(random, dim=1).to(keys.dtype)
            self.labels = torch.zeros(self.capacity, labels.shape[1], dtype=torch.bool)
        self.keys, self.labels = self.keys.to(keys.device), self.labels.to(keys.device)
        return self.keys, self.labels
