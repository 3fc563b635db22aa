"""Validation results -> whether an epoch is the best so far, and whether to go on (spec, protocol section 7)."""

from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """The published rule: after an epoch that is not a new best, stop if it is more than 2 points below the best, or if the
    epoch before was none either.

    best: the best mean average precision so far, in percent points; worse: epochs in a row that were no new best.
    """

    best: float = 0.0
    worse: int = 0

    def improves(self, percent: float) -> bool:
        """Take the result of an epoch; return whether it is a new best."""
        if percent > self.best:
            self.best, self.worse = percent, 0
            return True
        self.worse += 1
        return False

    def stops(self, percent: float) -> bool:
        """Return whether training ends after the epoch that `improves` was last told of."""
        return self.worse > 0 and (self.best - percent > 2 or self.worse >= 2)
