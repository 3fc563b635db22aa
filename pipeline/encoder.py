"""Sentences and views -> unit vectors, by any open_clip model; with `image_tower`, the only file that imports open_clip."""

import hashlib
import json
import logging
import tempfile
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from . import towers
from .errors import AevlpError, unknown_name
from .hub import Absent, absent_from_hub
from .image_tower import image_tower_of
from .seeding import seed_everything
from .towers import Tower

RANDOM = "random"
IMAGENET_STATISTICS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HUB_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class ClipSource:
    """Where a CLIP comes from: an open_clip name or a model-config JSON; a tag, a weights file or "random"."""

    model: str
    weights: str

    def located(self, folder: Path) -> "ClipSource":
        """Return the source with files found: as they are named, or else below `folder`."""

        def find(name: str) -> str:
            beside = folder / name
            return str(beside) if not Path(name).exists() and beside.exists() else name

        return ClipSource(find(self.model), find(self.weights))


class ClipEncoder:
    """A CLIP in evaluation mode on one device.

    model, name: the open_clip model and its name. image_size: pixels a side. mean, std: pixel statistics for values in
    [0, 1]. activation: "quick_gelu" or "gelu". config: open_clip's own model configuration. weights_sha256: of the weights
    file, or of the parameters where there is no file.
    """

    def __init__(self, source: ClipSource, device: torch.device, precision: str = "fp32", seed: int = 0) -> None:
        import open_clip

        self.source, self.device, self.precision = source, device, precision
        self.name = _registered(source.model)
        tag = _tag(self.name, source.weights)
        self.config: dict[str, Any] = open_clip.get_model_config(self.name) or {}
        # Some tags were trained with another activation than the model's name stands for; open_clip would only warn.
        quick_gelu = bool(self.config.get("quick_gelu", False) or (tag or {}).get("quick_gelu", False))
        self.activation = "quick_gelu" if quick_gelu else "gelu"
        if source.weights == RANDOM:
            seed_everything(seed)
        self.model = _loaded(self.name, source, tag, quick_gelu).to(device).eval().requires_grad_(False)
        self.weights_sha256 = _weights_hash(self.model, source, tag)
        preprocessing = open_clip.get_model_preprocess_cfg(self.model)
        size = preprocessing["size"]
        self.image_size: int = size if isinstance(size, int) else size[0]
        self.mean, self.std = tuple(preprocessing["mean"]), tuple(preprocessing["std"])
        self.tower: Tower = image_tower_of(self.model)

    def encode_classes(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Return a text feature for each class, (C, D) float32, from its sentences.

        Of one sentence it is the tower's own output, not normalised; of several it has the direction of the mean of their unit
        vectors and their mean length. Raises AevlpError where a sentence is too long for the model.
        """
        every = self.encode_text([sentence for of_class in sentences for sentence in of_class])
        lengths = np.linalg.norm(every, axis=1, keepdims=True)
        parts = np.cumsum([len(of_class) for of_class in sentences])[:-1]
        features = []
        for part, length in zip(np.split(every, parts), np.split(lengths, parts), strict=True):
            direction = (part / length).mean(axis=0)
            features.append(part[0] if len(part) == 1 else direction / np.linalg.norm(direction) * length.mean())
        return np.stack(features).astype(np.float32)

    @torch.inference_mode()
    def encode_text(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the text tower's features (len(sentences), D) float32, not normalised.

        Raises AevlpError where a sentence is too long for the model.
        """
        import open_clip

        try:
            tokenize = open_clip.get_tokenizer(self.name)
            tokens = tokenize(list(sentences))
            # With room for one more token, what fits ends as the empty sentence does.
            *longer, empty = tokenize([*sentences, ""], context_length=tokens.shape[1] + 1)
        except Exception as error:  # tokenizers of other families are fetched from a hub
            raise AevlpError(f"cannot load the tokenizer of {self.name}: {_first_line(error)}") from error
        too_long = [s for s, row in zip(sentences, longer, strict=True) if row[-1] != empty[-1]]
        if too_long:
            raise AevlpError(
                f"the prompt {too_long[0][:60]!r}… is longer than the {tokens.shape[1]} tokens of {self.name}"
            )
        return _text_features(self.model, tokens.to(self.device)).float().cpu().numpy()

    @torch.inference_mode()
    def encode_views(self, views: Tensor, mirrored: bool, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """Return unit vectors (n, D) float32 on the device, of views (n, 3, S, S) uint8, mirrored or as they are."""
        shape = (3, 1, 1)
        pixels = views.to(self.device, non_blocking=True).to(torch.float32, memory_format=torch.contiguous_format)
        # In place: on a CPU each temporary costs more than the arithmetic.
        pixels.sub_(255 * torch.tensor(mean, device=self.device).view(shape))
        pixels.div_(255 * torch.tensor(std, device=self.device).view(shape))
        if mirrored:
            pixels = pixels.flip(-1)
        dtype = PRECISIONS[self.precision]
        with torch.autocast(self.device.type, dtype) if dtype else nullcontext():
            features = self.tower(pixels)
        return _unit(features)

    def use_tower(self, name: str, threads: int = 1) -> None:
        """Run the image tower as `towers.create` says, called by so many threads at a time."""
        self.tower = towers.create(name, image_tower_of(self.model), self.image_size, threads)


def absent_weights(source: ClipSource) -> Absent | None:
    """Return the weights file that a scoring model needs and that is not on this machine, None where nothing is missing.

    Raises AevlpError for a model, tag or file that does not exist at all.
    """
    import open_clip

    name = _registered(source.model)
    tag = _tag(name, source.weights)
    if tag is None:
        return None
    what = f"weights {source.weights} of {source.model}"
    with quiet(), torch.device("meta"):  # shapes alone, no memory
        model: Any = open_clip.create_model(name, device="meta", pretrained_image=False, pretrained_text=False)
    parameters = sum(p.numel() for p in model.parameters())
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    if repository:
        return absent_from_hub(what, repository, (file,) if file else HUB_FILES, parameters)
    cached = Path.home() / ".cache" / "clip" / tag["url"].rsplit("/", 1)[-1]  # where open_clip puts such files
    return None if cached.is_file() else Absent(what, tag["url"], None, f"download it to {cached}")


def image_tower(config: dict[str, Any], quick_gelu: bool) -> nn.Module:
    """Return the untrained image tower of an open_clip model configuration; called with pixels it gives (B, D)."""
    import open_clip

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"aevlp-{hashlib.sha256(json.dumps(config).encode()).hexdigest()[:12]}.json"
        path.write_text(json.dumps(config))
        name = _registered(str(path))
    with quiet():
        model: Any = open_clip.create_model(
            name, pretrained=None, force_quick_gelu=quick_gelu, pretrained_image=False, pretrained_text=False
        )
    return model.visual


def _registered(model: str) -> str:
    """Return the open_clip name of a model, teaching open_clip a model-config JSON first."""
    import open_clip

    if not model.endswith(".json"):
        if model not in open_clip.list_models():
            raise unknown_name("open_clip model", model, open_clip.list_models())
        return model
    path = Path(model)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        missing = {"embed_dim", "vision_cfg", "text_cfg"} - set(config)
    except (OSError, ValueError, TypeError) as error:
        raise AevlpError(f"cannot read the model configuration {path}: {error}") from error
    if missing:
        raise AevlpError(f"{path}: not an open_clip model configuration, {', '.join(sorted(missing))} missing")
    if path.stem in open_clip.list_models() and open_clip.get_model_config(path.stem) != config:
        raise AevlpError(f"{path}: open_clip has another model of the name {path.stem}: rename the file")
    open_clip.add_model_config(path)
    return path.stem


def _tag(name: str, weights: str) -> dict[str, Any] | None:
    """Return open_clip's entry for the weights' tag, None for a file or random weights."""
    import open_clip
    from open_clip import pretrained as open_clip_weights

    if weights == RANDOM or Path(weights).is_file():
        return None
    tags = open_clip.list_pretrained_tags_by_model(name)
    if weights in tags:
        return open_clip_weights.get_pretrained_cfg(name, weights)
    raise AevlpError(
        f"no weights {weights!r} for {name}: neither a file nor one of its tags "
        f"({', '.join(tags) or 'it has none'}); random weights must be asked for as --weights {RANDOM}"
    )


def _loaded(name: str, source: ClipSource, tag: dict[str, Any] | None, quick_gelu: bool) -> Any:
    import open_clip

    weights = None if source.weights == RANDOM else source.weights
    try:
        with quiet():
            return open_clip.create_model(
                name, pretrained=weights, force_quick_gelu=quick_gelu, pretrained_image=False, pretrained_text=False
            )
    except Exception as error:  # whatever a foreign file or an unreachable hub raises
        if tag is not None:
            raise AevlpError(
                f"cannot fetch the weights {weights} of {name} (needs a network the first time): {_first_line(error)}; "
                f"a weights file on disk can be passed as --weights FILE"
            ) from error
        if weights is None:
            raise AevlpError(
                f"{source.model} cannot be built ({_first_line(error)}): is it an open_clip model?"
            ) from error
        hint = (
            "it is a TorchScript archive, which could run code; convert its state_dict to safetensors"
            if "TorchScript" in str(error)
            else "pass the weights of this very model, as safetensors"
        )
        raise AevlpError(f"{weights} does not hold weights of {name} ({_first_line(error)}): {hint}") from error


def _weights_hash(model: Any, source: ClipSource, tag: dict[str, Any] | None) -> str:
    from open_clip import pretrained as open_clip_weights

    if source.weights != RANDOM:
        path = open_clip_weights.download_pretrained(tag) if tag else source.weights
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


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


def _unit(features: Tensor) -> Tensor:
    return functional.normalize(features.float(), dim=-1)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"


class quiet:
    """Keep the log lines of open_clip, timm and the hub off the terminal: what matters of them is said as errors."""

    def __enter__(self) -> None:
        self._level = logging.root.manager.disable
        logging.disable(logging.CRITICAL)
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        warnings.simplefilter("ignore")

    def __exit__(self, *_: object) -> None:
        self._warnings.__exit__(None, None, None)
        logging.disable(self._level)
