"""A run -> the cache that it was trained from, with the observed labels that it was trained with."""

from ...pipeline.errors import AevlpError
from ...pipeline.files.locations import location
from ...pipeline.score_cache import ScoreCache, open_cache
from ...pipeline.training.run_folder import RunFolder
from ..stage_two.kept_corrections import as_trained
from ..stage_two.run import Run


def cache_of(run: Run) -> tuple[ScoreCache | None, str]:
    """Return the cache, and why there is none where it is gone, damaged or another one by now."""
    path = location(run.settings["cache"])
    if not path.exists():
        return None, f"{path}, which this run was trained from, is not there any more."
    try:
        cache = open_cache(path)
        if cache.fingerprint != run.settings["cache_fingerprint"]:
            return (
                None,
                f"{path} is not the cache any more that this run was trained from: its images, labels or settings differ.",
            )
        return as_trained(cache, RunFolder(run.folder)), ""
    except AevlpError as error:
        return None, str(error)
