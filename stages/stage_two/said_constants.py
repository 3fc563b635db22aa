"""A plan -> what is said of its constants: those of the loss that the manifest sets, and those that the cache's labels lack."""

from collections.abc import Mapping
from typing import Any

from ...pipeline.manifest.formats import PACKAGED
from ...pipeline.method_names import MethodName, parsed
from .plan import Plan

MADE_BY = "damp"  # whose labels a cache holds


def constants_said(plan: Plan) -> list[str]:
    """Return a line on each of them, none where nobody changed any."""
    return [line for line in (_of_the_loss(plan), _of_the_labels(plan)) if line]


def _of_the_loss(plan: Plan) -> str:
    asked = parsed(plan.options.loss)
    said = plan.spec.losses.get(asked.name, {})
    own = {name: value for name, value in said.items() if name not in asked.constants}
    if not own or plan.spec.manifest_path == PACKAGED:
        return ""
    return f"constants of the manifest {plan.spec.manifest_path.name}: {MethodName(asked.name, own)}"


def _of_the_labels(plan: Plan) -> str:
    if plan.policy is None or plan.policy.name != MADE_BY:
        return ""
    then: Mapping[str, Any] = plan.cache.provenance["method"]
    now = plan.policy.constants
    changed = [f"{name}: {now[name]}, not {then[name]}" for name in now if name in then and now[name] != then[name]]
    if not changed:
        return ""
    return (
        f"{plan.cache.path} is labelled with other constants of {MADE_BY} than this training takes ({', '.join(changed)}): no "
        f"image is scored again"
    )
