"""The golden arrays: outputs of the papers' own programs on random inputs."""

from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent / "golden"


def load(topic: str) -> dict[str, dict[str, np.ndarray]]:
    """Return the cases of one topic, such as "gpr": case name -> key -> array."""
    with np.load(FOLDER / f"{topic}.npz", allow_pickle=False) as arrays:
        cases: dict[str, dict[str, np.ndarray]] = {str(case): {} for case in arrays["cases"]}
        for name in arrays.files:
            case, _, key = name.rpartition("/")
            if case in cases:
                cases[case][key] = arrays[name]
    return cases
