"""A cache or a run that is given as SOURCE -> which commands take it."""

from pathlib import Path

from ..pipeline.errors import AevlpError
from ..pipeline.files.locations import RemotePath
from ..pipeline.score_cache import open_cache
from ..pipeline.score_cache.containers import CONTAINERS

_SOURCE = "expected a SOURCE of images"


def refuse_own_outputs(path: Path) -> None:
    """Raise AevlpError where a path is what aevlp itself made of images: a cache, or the folder of a run."""
    if isinstance(path, RemotePath):
        return
    if path.suffix in CONTAINERS and _is_cache(path):
        raise AevlpError(
            f"{path} is a cache, {_SOURCE}: aevlp train {path} trains from it, aevlp inspect {path} shows it"
        )
    if (path / "settings.json").is_file() and _is_run(path):
        raise AevlpError(
            f"{path} is the folder of a run, {_SOURCE}: aevlp evaluate {path} measures it, aevlp predict {path} IMAGE… labels "
            f"images by it"
        )


def _is_cache(path: Path) -> bool:
    try:
        open_cache(path)
    except AevlpError:
        return False
    return True


def _is_run(path: Path) -> bool:
    from ..pipeline.training.run_folder import RunFolder

    try:
        RunFolder(path).settings()
    except AevlpError:
        return False
    return True
