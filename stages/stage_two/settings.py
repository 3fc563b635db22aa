"""A plan <-> what a run records of it: what shapes its numbers, and the options that make it again."""

from typing import Any

import torch

from ...pipeline.losses.foreign import source_sha256
from ...pipeline.runtime.provenance import versions
from .plan import Plan, precision


def settings_of(plan: Plan) -> dict[str, Any]:
    """Return what shapes a run's numbers, which a resumed run must have in common with its beginning."""
    options = plan.options
    return {
        "cache": str(options.cache.absolute()),
        "cache_fingerprint": plan.cache.fingerprint,
        "dataset": plan.spec.name,
        "data_root": str(plan.root.absolute()),
        "loss": {"name": options.loss, **plan.constants},
        "loss_sha256": source_sha256(options.loss),
        "policy": plan.policy and vars(plan.policy),
        "recipe": plan.recipe,
        "seed": options.seed,
        "precision": str(precision(plan) or torch.float32).removeprefix("torch."),
        **({"compile": True} if options.compile else {}),
        **({"without": list(plan.data.gone)} if plan.data.gone else {}),
        "versions": versions(),
    }
