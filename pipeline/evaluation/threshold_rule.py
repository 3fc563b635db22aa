"""What thresholds are chosen for, as it is asked for: F1, another F, a precision, a recall, or one number for all classes."""

import re
from dataclasses import dataclass
from typing import Literal

from ..errors import AevlpError

EXPECTED = "f1, f2 or another F with its beta, precision=0.9, recall=0.9, or a number from 0 to 1"


@dataclass(frozen=True)
class Rule:
    """What a threshold is to reach.

    kind: "f" (the highest F of this beta), "precision" (the highest recall with this precision at least), "recall" (the highest
    precision with this recall at least), or "number" (the threshold itself). value: beta, that share, or that threshold.
    """

    kind: Literal["f", "precision", "recall", "number"]
    value: float

    def __str__(self) -> str:
        return {"f": f"f{self.value:g}", "number": f"{self.value:g}"}.get(self.kind, f"{self.kind}={self.value:g}")


def parsed(text: str) -> Rule:
    """Return the rule that a text asks for; AevlpError for any other text."""
    given = str(text).strip().lower()
    rule = None
    if found := re.fullmatch(r"f(\d+(?:\.\d+)?)", given):
        rule = Rule("f", float(found[1]))
    elif found := re.fullmatch(r"(precision|recall)=(\d*\.?\d+)", given):
        rule = Rule("precision" if found[1] == "precision" else "recall", float(found[2]))
    elif re.fullmatch(r"\d*\.?\d+", given):
        rule = Rule("number", float(given))
    if rule is None or (rule.kind != "number" and rule.value == 0) or (rule.kind != "f" and rule.value > 1):
        raise AevlpError(f"expected {EXPECTED}, found {text!r}")
    return rule
