"""A classifier's logits -> probabilities that can be believed, and labels: what is stored in a model file beside its weights.

It needs numpy alone, so that an exported model decides as its run does without torch.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import AevlpError

HALF = 0.5  # the threshold of a model that none was chosen for


@dataclass(frozen=True)
class Calibration:
    """How logits become probabilities, class by class.

    temperature: (C,) float64 > 0; the probability is 1 / (1 + exp(-logit / temperature)), but for the classes in `knots`.
    knots: class number -> logits (K,) float64, rising, and probabilities (K,) float64 in [0, 1], not falling; the probability is
    interpolated between them as a straight line, and is that of the nearest knot outside (isotonic regression).
    """

    temperature: np.ndarray
    knots: Mapping[int, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return probabilities (N, C) float64 of logits (N, C)."""
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        found = np.exp(-np.logaddexp(0.0, -scaled))
        for number, (at, values) in self.knots.items():
            found[:, number] = np.interp(logits[:, number], at, values)
        return found


@dataclass(frozen=True)
class Decision:
    """How a classifier labels: its calibration, and the least probability of a label of each class.

    thresholds: (C,) float64 in [0, 1]. about: how both were chosen, as JSON has it: `rule` (what was asked for), `images` and
    `positives` (of each class, in the validation part), `evaluated_by` ("truth", or "observed": estimated), `method` of each
    class ("temperature", "isotonic" or "none"); `rule` alone where nothing was chosen.
    """

    calibration: Calibration
    thresholds: np.ndarray
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def calibrated(self) -> bool:
        """Whether probabilities are others than the sigmoid of the logits."""
        return bool(self.calibration.knots) or bool((self.calibration.temperature != 1).any())

    @property
    def by(self) -> str:
        """By what labels it was chosen, in words that follow others; empty where they are the truth, or nothing was chosen."""
        labels = self.about.get("evaluated_by", "truth")
        words = {"truth": "", "observed": ", estimated from observed labels"}
        return words.get(labels, f", by {labels}")

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities (N, C) float64 of logits (N, C)."""
        return self.calibration.probabilities(logits)

    def labels(self, probabilities: np.ndarray, threshold: float | None = None) -> np.ndarray:
        """Return the labels (N, C) bool of calibrated probabilities (N, C).

        threshold: one for every class in [0, 1], in the place of the stored ones.
        """
        return probabilities >= (self.thresholds if threshold is None else threshold)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON has it; `from_json` reads it back to the last bit."""
        knots = {str(number): [at.tolist(), p.tolist()] for number, (at, p) in self.calibration.knots.items()}
        return {
            "temperature": self.calibration.temperature.tolist(),
            "knots": knots,
            "thresholds": self.thresholds.tolist(),
            "about": dict(self.about),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any], classes: Sequence[str], where: str) -> "Decision":
        """Return what `to_json` gave; AevlpError, naming `where`, for anything else, and for another number of classes."""
        try:
            temperature, thresholds = (
                np.array(values[name], dtype=np.float64) for name in ("temperature", "thresholds")
            )
            knots = {
                int(number): (np.array(at, dtype=np.float64), np.array(p, dtype=np.float64))
                for number, (at, p) in values["knots"].items()
            }
            about = dict(values["about"])
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise AevlpError(
                f"{where} holds thresholds that cannot be read: it is damaged, or of another version"
            ) from error
        if not temperature.shape == thresholds.shape == (len(classes),):
            raise AevlpError(f"{where} has {len(thresholds)} thresholds for {len(classes)} classes: it is damaged")
        if not all(0 <= number < len(classes) and len(at) == len(p) > 0 for number, (at, p) in knots.items()):
            raise AevlpError(f"{where} has calibration of other classes than its {len(classes)}: it is damaged")
        return cls(Calibration(temperature, knots), thresholds, about)


def undecided(classes: int) -> Decision:
    """Return what a model does that nothing was chosen for: probabilities as they are, one threshold of 0.5."""
    return Decision(Calibration(np.ones(classes)), np.full(classes, HALF), {"rule": f"{HALF:g}"})
