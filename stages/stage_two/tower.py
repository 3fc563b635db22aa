"""A finished run of embeddings -> the scoring model's image tower kept beside it, so that it labels new images by itself."""

import torch

from ...pipeline.clip.libraries import absent_weights
from ...pipeline.clip.source import ClipSource
from ...pipeline.errors import AevlpError
from ...pipeline.training.run_folder import RunFolder
from ..cache_origin import scoring_encoder
from .plan import Plan


def keep_tower(plan: Plan, folder: RunFolder) -> str | None:
    """Give a run all that labelling new images needs; return why it lacks something, None where it lacks nothing.

    A run with a backbone of pixels has all of it. One on embeddings takes the tower of a run beside it, or that of the model.
    """
    if plan.recipe["backbone"] != "linear":
        return None
    made = plan.cache.provenance
    if folder.share_tower(made["weights_sha256"]):
        return None
    manifests = plan.spec.manifest_path.parent
    try:
        if absent := absent_weights(ClipSource.recorded(made, manifests)):
            raise AevlpError(f"{absent.what} are not on this machine")
        encoder = scoring_encoder(made, manifests, torch.device("cpu"))
    except AevlpError as error:
        return str(error)
    quick_gelu = made["activation"] == "quick_gelu"
    folder.save_tower(encoder.model.visual, made["clip"]["config"], quick_gelu, made["weights_sha256"])
    return None
