"""The scale and bias of a cache's model, for policies that read probabilities of each class on its own."""

from collections.abc import Mapping
from typing import Any

from ...pipeline import policies
from ...pipeline.errors import AevlpError
from .learnable import Learnable

NAMES = ("scale", "bias")


def with_own_logits(name: str, cache: Learnable, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the constants given for a policy, with the model's own scale and bias where it takes both and they are not given.

    Raises AevlpError where the cache's model has no bias, and where the cache does not say.
    """
    policies.check_name(name)
    missing = [of for of in NAMES if of not in given]
    if not missing or not set(NAMES) <= set(policies.constants(name)):
        return dict(given)
    said = cache.provenance.get("logits")
    if said is None:
        words = " and ".join(f"--set {name}.{of}=…" for of in missing)
        raise AevlpError(
            f"{cache.path} does not say the scale and bias of its model, which policy {name} reads: it was made by an earlier "
            f"version; make it anew, or pass them as {words}"
        )
    if "bias" in missing and said["bias"] is None:
        raise AevlpError(
            f"policy {name} reads the bias of a sigmoid-scored model, and {cache.provenance['clip']['model']}, which made "
            f"{cache.path}, was trained with a softmax and has none: take the policy damp, vlpl or top-k, or threshold with "
            f"aevlp calibrate, or score the images with a model that has one, such as --clip ViT-B-16-SigLIP"
        )
    return {**given, **{of: said[of] for of in missing}}
