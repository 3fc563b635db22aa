"""Python's, NumPy's and torch's global generators <-> one tensor of bytes, as long on every process of a training."""

import random
from typing import Any

import numpy as np
import torch

_NO_NUMBER = np.nan  # both Gaussian generators may hold a second number ready, or none


def generator_states(device: torch.device) -> torch.Tensor:
    """Return the state of every generator that training on `device` draws from, (n,) uint8 on the CPU."""
    state = np.zeros((), _layout())
    _, words, ready = random.getstate()
    state["python"], state["python_ready"] = words, _NO_NUMBER if ready is None else ready
    numpy: Any = np.random.get_state()
    state["numpy"], state["numpy_place"] = numpy[1], numpy[2]
    state["numpy_ready"] = numpy[4] if numpy[3] else _NO_NUMBER
    state["torch"] = torch.get_rng_state().numpy()
    if device.type == "cuda":
        state["has_cuda"], state["cuda"] = True, torch.cuda.get_rng_state(device).numpy()
    return torch.frombuffer(bytearray(state.tobytes()), dtype=torch.uint8)


def restore_generators(states: torch.Tensor, device: torch.device) -> None:
    """Let every generator draw what it would have drawn after `generator_states` returned `states`.

    The generator of a GPU stays as it is where the states are of a training on a CPU.
    """
    state = np.frombuffer(states.numpy().tobytes(), _layout())[0]
    ready = float(state["python_ready"])
    random.setstate((3, tuple(state["python"].tolist()), None if np.isnan(ready) else ready))
    ready, place = float(state["numpy_ready"]), int(state["numpy_place"])
    has_number = not np.isnan(ready)
    np.random.set_state(("MT19937", state["numpy"].copy(), place, int(has_number), ready if has_number else 0.0))
    torch.set_rng_state(torch.from_numpy(state["torch"].copy()))
    if device.type == "cuda" and state["has_cuda"]:
        torch.cuda.set_rng_state(torch.from_numpy(state["cuda"].copy()), device)


def _layout() -> np.dtype:
    """Return the fields; 625, 624 and 16 are the lengths that Python, NumPy and CUDA have for a state."""
    return np.dtype(
        [
            ("python", "<u4", 625),
            ("python_ready", "<f8"),
            ("numpy", "<u4", 624),
            ("numpy_place", "<i8"),
            ("numpy_ready", "<f8"),
            ("torch", "u1", torch.get_rng_state().numel()),
            ("has_cuda", "?"),
            ("cuda", "u1", 16),
        ]
    )
