"""A cache -> the constants that its data set has in the manifest as it is now."""

from ...pipeline.errors import AevlpError
from ...pipeline.labels.damp import DampSettings
from ...pipeline.score_cache import ScoreCache
from ..cache_origin import dataset_of


def constants_now(cache: ScoreCache) -> tuple[DampSettings, int | str] | None:
    """Return the manifest's constants of damp, by the rules of the cache, and its grid; None where the entry is not there."""
    try:
        damp = dataset_of(cache, None, None).damp
    except AevlpError:  # a cache tells of itself wherever it is
        return None
    return damp.settings(cache.provenance["method"]["compat"]), damp.grid
