"""What made a cache, also one of an earlier version, in the words of now."""

from collections.abc import Mapping
from typing import Any

from ..images.schemes import ViewScheme, scheme
from ..labels.observation import ALIASES, NONE


def without_origins(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return a cache's provenance without what says only where its pixel statistics are from, and what stands in it twice.

    Nor has it the scale and bias of the model, which follow from its weights, and those are named by their hash. Caches of before
    that was recorded can so be compared with others.
    """
    kept = {"clip": ("model", "weights", "config"), "pixel_statistics": ("mean", "std")}
    parts = {
        name: {k: provenance[name][k] for k in keys if k in provenance[name]}
        for name, keys in kept.items()
        if name in provenance
    }
    renamed = {key: value for key, value in provenance.items() if key not in ("observation", "logits")}
    return {**renamed, **parts, "simulate": simulation_of(provenance)}


def simulation_of(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return by which regime the labels of a cache were hidden, {"regime": name, constant: value}; "none" where none was.

    Caches of before the regimes were called simulations say it under `observation`, in the words of then.
    """
    if "simulate" in provenance:
        return provenance["simulate"]
    made_by = provenance.get("observation", "as given")
    if not isinstance(made_by, dict):
        return NONE
    regime = made_by.get("regime", "counts")
    return {**made_by, "regime": ALIASES.get(regime, regime)}


def views_of(provenance: Mapping[str, Any]) -> ViewScheme:
    """Return the scheme by which the images of a cache were cut; AevlpError where this version of aevlp has it not."""
    method = provenance["method"]
    return scheme(method.get("grid"), method.get("compat", "paper"))
