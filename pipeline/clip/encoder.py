"""Sentences and views -> unit vectors, by any open_clip model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import AevlpError
from ..files import absent_files as hub
from ..files.absent_files import Absent, absent_from_hub
from ..manifest.clip_names import CONFIG, HUB, HUB_FILES, RANDOM
from ..quiet import first_line, quiet
from ..runtime.seeding import seed_everything
from .as_trained import QUICK, as_trained
from .image_size import resize
from .image_tower import image_tower_of, without_tokens
from .own_logits import own_logits
from .source import ClipModel, ClipSource, find_model, find_tag, hub_files, registered, weights_file
from .tokenizing import tokenizer_of
from .tower_encoder import PRECISIONS, TowerEncoder, weights_hash

__all__ = ["PRECISIONS", "RANDOM", "ClipEncoder", "ClipSource", "quiet"]

IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class ClipEncoder(TowerEncoder):
    """A CLIP in evaluation mode on one device.

    model, name: the open_clip model and its name. image_size: pixels a side. trained: how it was, of which mean, std (pixel
    statistics for values in [0, 1]) and activation ("quick_gelu" or "gelu") are parts. config: open_clip's own model
    configuration. logits: its own scale and bias. weights_sha256: of the weights file, or of the parameters where there is none.
    """

    def __init__(self, source: ClipSource, device: torch.device, precision: str = "fp32", seed: int = 0) -> None:
        import open_clip

        self.source, self.device, self.precision = source, device, precision
        self.clip = find_model(source.model)
        self.name, self.config = self.clip.name, self.clip.config
        tag = find_tag(self.clip, source.weights)
        self.trained = as_trained(self.clip, source, tag)
        self.mean, self.std, self.activation = self.trained.mean, self.trained.std, self.trained.activation
        weights = weights_file(self.clip, source.weights, tag)
        if source.weights == RANDOM:
            seed_everything(seed)
        model = _loaded(self.clip, source.model, weights, self.activation == QUICK)
        self.model = model.to(device).eval().requires_grad_(False)
        self.logits = own_logits(self.model)
        self.weights_sha256 = weights_hash(self.model, [] if weights is None else [weights])
        size = open_clip.get_model_preprocess_cfg(self.model)["size"]
        self.image_size: int = size if isinstance(size, int) else size[0]
        super().__init__(image_tower_of(self.model))

    @torch.inference_mode()
    def encode_text(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the text tower's features (len(sentences), D) float32, not normalised.

        Raises AevlpError where a sentence is too long for the model.
        """
        tokenize = tokenizer_of(self.clip)
        tokens = tokenize(list(sentences))
        # With room for one more token, what fits ends as the empty sentence does.
        *longer, empty = tokenize([*sentences, ""], context_length=tokens.shape[1] + 1)
        too_long = [s for s, row in zip(sentences, longer, strict=True) if row[-1] != empty[-1]]
        if too_long:
            raise AevlpError(
                f"the prompt {too_long[0][:60]!r}… is longer than the {tokens.shape[1]} tokens of {self.name}"
            )
        return _text_features(self.model, tokens.to(self.device)).float().cpu().numpy()


def load(source: ClipSource, device: torch.device, precision: str, seed: int) -> ClipEncoder:
    """Return a CLIP of open_clip's."""
    return ClipEncoder(source, device, precision, seed)


def absent_weights(source: ClipSource) -> Absent | None:
    """Return the weights file that a scoring model needs and that is not on this machine, None where nothing is missing.

    Raises AevlpError for a model, tag or file that does not exist at all, and for one that stage one would refuse.
    """
    if source.model.startswith(HUB):
        repository = hub.check_repository(source.model.removeprefix(HUB))
        if hub.cached(repository, (CONFIG,)) is None:
            files = [CONFIG, *HUB_FILES[: source.weights is None]]
            how = f"hf download {repository} {' '.join(files)}"
            return Absent(f"the model {source.model}", hub.address(repository, CONFIG), None, how)
    clip = find_model(source.model)
    tag = find_tag(clip, source.weights)
    as_trained(clip, source, tag)
    repository, files = (clip.repository, HUB_FILES) if tag is None else hub_files(tag)
    if tag is None and (source.weights is not None or not repository):
        weights_file(clip, source.weights, tag)
        return None
    what = f"weights {source.weights} of {source.model}" if tag else f"weights of {source.model}"
    if repository:
        certain_first = files if files == HUB_FILES else files[::-1]
        return absent_from_hub(what, repository, certain_first, _parameters(clip))
    assert tag is not None
    cached = Path.home() / ".cache" / "clip" / tag["url"].rsplit("/", 1)[-1]  # where open_clip puts such files
    return None if cached.is_file() else Absent(what, tag["url"], None, f"download it to {cached}")


def image_tower(config: dict[str, Any], quick_gelu: bool, size: int | None = None) -> nn.Module:
    """Return the untrained image tower of an open_clip model configuration, as `libraries.image_tower` does."""
    visual = without_tokens(_built(registered(config), None, quick_gelu, torch.get_default_device().type).visual)
    return visual if size is None else resize(visual, size)


def config_of(model: str) -> dict[str, Any]:
    """Return the configuration of a named model."""
    return find_model(model).config


def _parameters(clip: ClipModel) -> int:
    """Return how many numbers a model has."""
    with torch.device("meta"):  # shapes alone, no memory
        model = _built(clip.registered, None, False, device="meta")
    return sum(p.numel() for p in model.parameters())


def _built(name: str, weights: Path | None, quick_gelu: bool, device: str = "cpu") -> Any:
    import open_clip

    path = None if weights is None else str(weights.absolute())  # not the name of a tag
    with quiet():
        return open_clip.create_model(
            name, pretrained=path, device=device, quick_gelu=quick_gelu, pretrained_image=False, pretrained_text=False
        )


def _loaded(clip: ClipModel, named: str, weights: Path | None, quick_gelu: bool) -> Any:
    try:
        return _built(clip.registered, weights, quick_gelu)
    except Exception as error:  # whatever a foreign file or configuration raises
        if weights is None:
            raise AevlpError(f"{named} cannot be built ({first_line(error)}): is it an open_clip model?") from error
        hint = (
            "it is a TorchScript archive, which could run code; convert its state_dict to safetensors"
            if "TorchScript" in str(error)
            else "pass the weights of this very model, as safetensors"
        )
        raise AevlpError(f"{weights} does not hold weights of {clip.name} ({first_line(error)}): {hint}") from error


class _Text(nn.Module):
    """The text tower of a CLIP as a module, whose parameters can be others for one call."""

    def __init__(self, clip: nn.Module) -> None:
        super().__init__()
        self.clip: Any = clip

    def forward(self, tokens: Tensor) -> Tensor:
        return self.clip.encode_text(tokens)


def _text_features(model: Any, tokens: Tensor) -> Tensor:
    """Return the text tower's features (n, D), computed no further than the last token that any sentence uses.

    Where each token sees only those before it, what comes after the end of a sentence, whose feature is taken, changes nothing.
    """
    import open_clip

    of_clip = type(model) is open_clip.CLIP  # other classes may mask and pool otherwise
    if not of_clip or model.attn_mask is None or model.text_pool_type != "argmax":
        return model.encode_text(tokens)
    length = int(tokens.argmax(dim=-1).max()) + 1  # the end of a sentence has the highest number
    position: Any = model.positional_embedding
    mask: Any = model.attn_mask
    shorter = {"clip.positional_embedding": position[:length], "clip.attn_mask": mask[:length, :length]}
    return torch.func.functional_call(_Text(model), shorter, tokens[:, :length])
