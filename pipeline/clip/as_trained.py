"""How a CLIP was trained, which its weights do not say: the statistics of its pixels, and its activation.

Of a tag open_clip knows them. Of a file they are said by the model's own open_clip_config.json, by one that lies beside the file,
or by the tags of the model where all of them agree; where the tags differ, whoever has the file must say. Where nothing says
them, open_clip's defaults are assumed: OpenAI's.
"""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import AevlpError
from ..manifest.clip_names import CONFIG, RANDOM
from ..manifest.pixel_statistics import OPENAI, Three, checked, written
from .source import ClipModel, ClipSource, config_beside, tags_of

ASSUMED = "assumed"
QUICK, PLAIN = "quick_gelu", "gelu"
ACTIVATIONS = (PLAIN, QUICK)


@dataclass(frozen=True)
class AsTrained:
    """mean, std: for pixel values in [0, 1]. said_by: where these are from. activation: one of ACTIVATIONS. interpolation,
    resize_mode: of the model's own preprocessing, in open_clip's words, None where nothing says them."""

    mean: Three
    std: Three
    said_by: str
    activation: str
    interpolation: str | None
    resize_mode: str | None


def as_trained(model: ClipModel, source: ClipSource, tag: Mapping[str, Any] | None) -> AsTrained:
    """Return how a CLIP was trained; AevlpError where the tags of its model differ, and where what is said cannot be.

    tag: open_clip's entry for the weights, None for a file, random weights and the model's own.
    """
    said_by, candidates = _candidates(model, source, tag)
    statistics = _by_value({name: _statistics(said) for name, said in candidates.items()})
    activations = _by_value({name: QUICK if said.get("quick_gelu") else PLAIN for name, said in candidates.items()})
    if model.config.get("quick_gelu"):
        activations = {QUICK: list(candidates)}
    said = source.mean is not None or source.std is not None
    given = checked(source.mean, source.std, ("mean", "std")) if said else None
    differ = [
        *([_statistics_to_choose(statistics)] if given is None and len(statistics) > 1 else []),
        *([_activations_to_choose(activations)] if source.activation is None and len(activations) > 1 else []),
    ]
    if differ:
        raise AevlpError(
            f"{source.weights} does not say how it was trained, and the tags of {model.name} differ: {'; '.join(differ)}"
        )
    found = next(iter(statistics), None)
    mean, std = given or found or OPENAI
    return AsTrained(
        mean,
        std,
        source.said_by if given else said_by if found else ASSUMED,
        source.activation or next(iter(activations), PLAIN),
        _agreed(candidates, "interpolation"),
        _agreed(candidates, "resize_mode"),
    )


def all_tags(name: str) -> str:
    """Return how `said_by` words that all tags of a model say the same."""
    return f"all tags of {name}"


def _candidates(model: ClipModel, source: ClipSource, tag: Mapping[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """Return where it is said how the weights were trained, and what each that speaks of it says, by its name."""
    if tag is not None:
        return f"tag {source.weights}", {str(source.weights): tag}
    if said := _of_config(model):
        return said
    if source.weights is None or source.weights == RANDOM:
        return ASSUMED, {}
    beside = config_beside(Path(source.weights), model)
    if beside is not None and (said := _of_config(beside)):
        return said
    tags = tags_of(model)
    return (all_tags(model.name), tags) if tags else (ASSUMED, {})


def _of_config(model: ClipModel) -> tuple[str, dict[str, Any]] | None:
    said = model.preprocessing or {}
    if said.get("mean") is None and said.get("std") is None:
        return None
    names = (f"preprocess_cfg.mean of {model.name}", f"preprocess_cfg.std of {model.name}")
    mean, std = checked(said.get("mean"), said.get("std"), names)
    quick_gelu = model.config.get("quick_gelu", False)
    return f"preprocess_cfg of {CONFIG}", {model.name: {**said, "mean": mean, "std": std, "quick_gelu": quick_gelu}}


def _statistics(said: Mapping[str, Any]) -> tuple[Three, Three]:
    return tuple(said["mean"]), tuple(said["std"])


def _by_value(said: Mapping[str, Hashable]) -> dict[Any, list[str]]:
    """Return each value that is said, and who says it."""
    names: dict[Any, list[str]] = {}
    for name, value in said.items():
        names.setdefault(value, []).append(name)
    return names


def _agreed(candidates: Mapping[str, Any], key: str) -> str | None:
    values = {said.get(key) for said in candidates.values()}
    return str(value) if len(values) == 1 and (value := values.pop()) else None


def _statistics_to_choose(statistics: Mapping[tuple[Three, Three], list[str]]) -> str:
    choices = [
        f"--mean {written(mean)} --std {written(std)} ({', '.join(tags)})" for (mean, std), tags in statistics.items()
    ]
    return (
        f"pass its pixel statistics as --mean and --std (mean and std under clip in a manifest), {' or '.join(choices)}"
    )


def _activations_to_choose(activations: Mapping[str, list[str]]) -> str:
    choices = [f"{activation} ({', '.join(tags)})" for activation, tags in activations.items()]
    return f"pass its --activation (activation under clip in a manifest), {' or '.join(choices)}"
