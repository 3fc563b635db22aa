"""How a CLIP may be named."""

RANDOM = "random"
HUB, LOCAL = "hf-hub:", "local-dir:"
TRANSFORMERS = "transformers:"
CONFIG = "open_clip_config.json"
TRANSFORMERS_CONFIG = "config.json"
# The small CLIPs that come with aevlp, trained on pictures of shapes: name -> configuration and weights.
SCENES = {name: (f"weights/{name}-clip.json", f"weights/{name}-clip.safetensors") for name in ("scenes", "scenes2")}
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def may_bring_weights(model: str) -> bool:
    """Return whether weights may lie with a model that is named so."""
    return model in SCENES or model.startswith((HUB, LOCAL, TRANSFORMERS)) or model.endswith(".json")
