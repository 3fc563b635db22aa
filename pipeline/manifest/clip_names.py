"""How a CLIP may be named."""

RANDOM = "random"
HUB, LOCAL = "hf-hub:", "local-dir:"
CONFIG = "open_clip_config.json"
SCENES = "scenes"  # the small CLIP that comes with aevlp, trained on pictures of shapes
SCENES_FILES = ("weights/scenes-clip.json", "weights/scenes-clip.safetensors")
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def may_bring_weights(model: str) -> bool:
    """Return whether weights may lie with a model that is named so."""
    return model == SCENES or model.startswith((HUB, LOCAL)) or model.endswith(".json")
