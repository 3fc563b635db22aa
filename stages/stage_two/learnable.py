"""What losses and policies are checked against: a cache, or the one that a run is going to make."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...pipeline.score_cache import CacheHeader, ScoreCache


@dataclass(frozen=True)
class ToBeScored:
    """A cache that is still to be made. observed, truth: (N, C) as in the cache, the second None where it is not known."""

    path: Path
    header: CacheHeader
    observed: np.ndarray
    truth: np.ndarray | None

    @property
    def provenance(self) -> dict[str, Any]:
        """What is known of how it will be made."""
        return self.header.provenance


Learnable = ScoreCache | ToBeScored
