"""The answers that a run was trained with: kept in its folder, and put in the place of a cache's observed labels again."""

from ...pipeline.errors import AevlpError
from ...pipeline.files.atomic_write import replacing
from ...pipeline.review.corrections import Corrections, corrected, read_corrections
from ...pipeline.score_cache import ScoreCache
from ...pipeline.training.run_folder import RunFolder


def keep_corrections(corrections: Corrections | None, folder: RunFolder) -> None:
    """Write the answers into a run's folder, unless they are there."""
    file = folder.corrections_file
    if corrections is not None and not file.exists():
        with replacing(file) as temporary:
            temporary.write_text(corrections.table, encoding="utf-8")


def as_trained(cache: ScoreCache, folder: RunFolder) -> ScoreCache:
    """Return a cache with the observed labels that a run was trained with; AevlpError where its answers are gone or others."""
    record = folder.settings().get("corrections")
    if record is None:
        return cache
    file = folder.corrections_file
    if not file.exists():
        raise AevlpError(
            f"{folder.path} has lost {file.name}, the answers that it was trained with: bring it back from a copy"
        )
    corrections = read_corrections(file)
    if corrections.record != record:
        raise AevlpError(
            f"{file} does not hold the answers that {folder.path} was trained with: bring it back from a copy"
        )
    return corrected(cache, corrections)
