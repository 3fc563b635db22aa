"""Options of stage one -> the keys of the entry that is written of a source, so that it alone gives the same cache again."""

import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from ...pipeline.manifest.clip_names import HUB, LOCAL
from ...pipeline.manifest.sections import Clip
from ..source_options import SourceOptions
from . import scoring_model
from .options import PseudolabelOptions

_OF_CLIP = ("clip", "weights", "mean", "std", "activation")


def keys_of(options: PseudolabelOptions, folder: Path) -> dict[str, Any]:
    """Return the keys `clip` and `damp` of what was said; folder: of the manifest, from which files are named there."""
    keys: dict[str, Any] = {}
    if any(getattr(options, name) is not None for name in _OF_CLIP):
        asked = scoring_model.asked_for(replace(options, compat="paper"), Clip())
        said = {
            "model": _from(folder, asked.model),
            "weights": asked.weights and _from(folder, asked.weights),
            "mean": asked.mean and list(asked.mean),
            "std": asked.std and list(asked.std),
            "activation": asked.activation,
        }
        keys["clip"] = {name: value for name, value in said.items() if value is not None}
    if (views := options.asked_views) is not None:
        keys["damp"] = {"grid": views}
    return keys


def resolved(options: PseudolabelOptions, name: str, manifest: Path) -> PseudolabelOptions:
    """Return the options for a source whose entry is in a manifest, which says what `keys_of` returned."""
    said = dict.fromkeys(
        (*_OF_CLIP, "grid", "views", *(of.name for of in fields(SourceOptions) if of.name != "progress"))
    )
    return replace(options, **{**said, "dataset": name, "manifest": [manifest]})


def _from(folder: Path, name: str) -> str:
    """Return a file's name as a manifest in `folder` has it, any other name as it is."""
    prefix = LOCAL if name.startswith(LOCAL) else ""
    path = Path(name.removeprefix(LOCAL))
    if name.startswith(HUB) or path.is_absolute() or not path.exists():
        return name
    return prefix + Path(os.path.relpath(path, folder)).as_posix()
