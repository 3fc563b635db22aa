"""One seed for every source of chance: each use draws from its own stream, named by what it is for."""

import hashlib
import random

import numpy as np
import torch


def derive(seed: int, *purpose: str | int) -> int:
    """Return a seed in [0, 2**32) for one use of `seed`, such as ("order", epoch): equal arguments, equal seed."""
    text = "/".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "little")


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and torch's global generators, for the libraries that draw from them."""
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
