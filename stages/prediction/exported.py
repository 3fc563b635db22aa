"""What an exported model says of itself, in its metadata: JSON under a few keys, so that it can be used without aevlp too.

aevlp.classes     the names of its classes, in the order of its outputs
aevlp.decision    the thresholds, and the calibration that `probabilities` are made by (`pipeline.evaluation.decision`)
aevlp.input       how an image becomes its input: size, mean, std, upright, preprocessing
aevlp.provenance  what made it: the run's settings and figures, hashes, versions
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.decision import Decision

CLASSES, DECISION, INPUT, PROVENANCE = (f"aevlp.{name}" for name in ("classes", "decision", "input", "provenance"))


@dataclass(frozen=True)
class ModelInput:
    """How an image becomes a model's input: stretched to size x size pixels, antialiased bilinear, then (x / 255 - mean) / std.

    upright: whether it is first turned by its EXIF orientation. preprocessing: whether the model stretches and normalises for
    itself, so that its input is uint8 (B, H, W, 3) of any height and width; without it is float32 (B, 3, size, size).
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    upright: bool
    preprocessing: bool = False


@dataclass(frozen=True)
class About:
    """All that an exported model says of itself. provenance: as JSON has it."""

    classes: list[str]
    decision: Decision
    input: ModelInput
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to_metadata(self) -> dict[str, str]:
        """Return it as texts by key, which `from_metadata` reads."""
        values = {
            CLASSES: self.classes,
            DECISION: self.decision.to_json(),
            INPUT: asdict(self.input),
            PROVENANCE: dict(self.provenance),
        }
        return {key: json.dumps(value, ensure_ascii=False) for key, value in values.items()}

    @classmethod
    def from_metadata(cls, texts: Mapping[str, str], where: str) -> "About":
        """Return what `to_metadata` gave; AevlpError, naming `where`, for a file that aevlp did not write, or a damaged one."""
        if CLASSES not in texts:
            raise AevlpError(
                f"{where} is not of aevlp: expected a model that aevlp export wrote, found no {CLASSES} in its metadata"
            )
        try:
            values = {key: json.loads(texts[key]) for key in (CLASSES, DECISION, INPUT, PROVENANCE)}
            given = values[INPUT]
            fed = ModelInput(
                int(given["size"]),
                _channels(given["mean"]),
                _channels(given["std"]),
                bool(given["upright"]),
                bool(given["preprocessing"]),
            )
            classes = values[CLASSES]
            if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes) or fed.size < 1:
                raise ValueError(CLASSES)
        except (LookupError, TypeError, ValueError) as error:
            raise AevlpError(f"the metadata of {where} cannot be read: it is damaged, export the run anew") from error
        return cls(classes, Decision.from_json(values[DECISION], classes, where), fed, values[PROVENANCE])


def _channels(values: Sequence[float]) -> tuple[float, ...]:
    red, green, blue = (float(value) for value in values)
    return red, green, blue
