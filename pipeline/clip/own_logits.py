"""A CLIP's own scale and bias: what it was trained to make of a cosine."""

from typing import Any, NamedTuple

from torch import Tensor


class Logits(NamedTuple):
    """A logit is scale * cosine + bias. bias: None of a model that was trained with a softmax over classes, and has none.

    The logistic function of a logit with a bias is the probability of that class on its own (SigLIP, Zhai et al., ICCV 2023).
    """

    scale: float
    bias: float | None


def own_logits(model: Any) -> Logits:
    """Return the scale and bias of a model of open_clip or transformers, which keep the logarithm of the scale."""
    bias: Tensor | None = getattr(model, "logit_bias", None)
    return Logits(
        model.logit_scale.detach().double().exp().item(), None if bias is None else bias.detach().double().item()
    )
