"""Sentences and views -> unit vectors, by a CLIP or SigLIP of Hugging Face transformers (`aevlp[transformers]`)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import AevlpError
from ..files.absent_files import Absent
from ..manifest.clip_names import RANDOM, TRANSFORMERS
from ..manifest.pixel_statistics import OPENAI, checked
from ..quiet import first_line, quiet
from ..runtime.seeding import seed_everything
from . import transformers_files
from .as_trained import PLAIN, QUICK, AsTrained
from .image_size import places
from .own_logits import own_logits
from .source import ClipSource
from .tower_encoder import TowerEncoder, weights_hash
from .transformers_files import KINDS, PREPROCESSING, TOKENIZER_CONFIG, Files

LIBRARY = "transformers"
DEFAULTS = {"clip": OPENAI, "siglip": ((0.5,) * 3, (0.5,) * 3)}  # pixel statistics where nothing says them
SAME = 1e-5  # of the largest number: text features closer than that differ by rounding alone
RESAMPLING = {0: "nearest", 2: "bilinear", 3: "bicubic"}  # Pillow's numbers


class ImageTower(nn.Module):
    """What maps pixels (B, 3, S, S) to the features (B, D) that the model's get_image_features gives; it shares its weights."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        vision = model.config.vision_config
        self.image_size, self._native, self._patch = vision.image_size, vision.image_size, vision.patch_size
        self.vision_model = model.vision_model
        self.projection = getattr(model, "visual_projection", nn.Identity())

    def forward(self, pixels: Tensor) -> Tensor:
        """Return features (B, D)."""
        another = self.image_size != self._native
        return self.projection(self.vision_model(pixel_values=pixels, interpolate_pos_encoding=another).pooler_output)

    def resize_to(self, size: int) -> None:
        """Take images of size x size pixels, with position embeddings interpolated as transformers does it."""
        if size != self._native:
            places(size, self._patch, "its patches are")
        self.image_size = size


class _Model(nn.Module):
    """A model with its image tower under the name that open_clip's have."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.whole, self.visual = model, ImageTower(model)


class TransformersEncoder(TowerEncoder):
    """A CLIP or SigLIP of transformers in evaluation mode on one device; its fields are those of `ClipEncoder`."""

    def __init__(self, source: ClipSource, device: torch.device, precision: str = "fp32", seed: int = 0) -> None:
        self.source, self.device, self.precision = source, device, precision
        self.files = transformers_files.found_files(source.model)
        self.name = source.model
        self.config = {"library": LIBRARY, **self.files.config}
        self.trained = _as_trained(self.files, source)
        self.mean, self.std, self.activation = self.trained.mean, self.trained.std, self.trained.activation
        weights = transformers_files.weights_files(self.files, source)
        if source.weights == RANDOM:
            seed_everything(seed)
        self._whole = _built(self.files.config, source.model)
        _fill(self._whole, weights, source.model)
        self.model = _Model(self._whole).to(device).eval().requires_grad_(False)
        self.logits = own_logits(self._whole)
        self.weights_sha256 = weights_hash(self._whole, weights)
        self.image_size: int = self.model.visual.image_size
        super().__init__(self.model.visual)

    @torch.inference_mode()
    def encode_text(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the text tower's features (len(sentences), D) float32, not normalised.

        SigLIP has read sentences in lower case and filled to their full length, of which the last place is the feature's.
        Raises AevlpError where a sentence is too long for the model.
        """
        siglip = self.files.config["model_type"] == "siglip"
        said = [sentence.lower() for sentence in sentences] if siglip else list(sentences)
        longest = self._whole.config.text_config.max_position_embeddings
        tokenize = _tokenizer(self.files, self.name)
        with _of_tokenizer(self.files, self.name):
            lengths = [len(numbers) for numbers in tokenize(said)["input_ids"]]
        if max(lengths) > longest:
            sentence = sentences[int(np.argmax(lengths))]
            raise AevlpError(f"the prompt {sentence[:60]!r}… is longer than the {longest} tokens of {self.name}")
        with quiet():
            filled: Any = {"padding": "max_length", "max_length": longest} if siglip else {"padding": True}
            tokens = tokenize(said, return_tensors="pt", **filled).to(self.device)
        seen = {} if siglip else {"attention_mask": tokens["attention_mask"]}
        features = self._whole.text_model(input_ids=tokens["input_ids"], **seen).pooler_output
        projection = getattr(self._whole, "text_projection", nn.Identity())
        return projection(features).float().cpu().numpy()

    def encode_classes(self, sentences: Sequence[Sequence[str]]) -> np.ndarray:
        """Return what `TowerEncoder` does; AevlpError too where all classes get the same feature, as of another's tokenizer."""
        found = super().encode_classes(sentences)
        alike = np.ptp(found, axis=0).max() <= SAME * abs(found).max()
        if alike and len({frozenset(of_class) for of_class in sentences}) > 1:
            raise AevlpError(
                f"{self.name} gives all {len(found)} classes the same text feature, from {sentences[0][0]!r} to "
                f"{sentences[-1][0]!r}, so no score could tell them apart: are its tokenizer's files those of the model, and "
                f"the class names of a language that it reads?"
            )
        return found


def load(source: ClipSource, device: torch.device, precision: str, seed: int) -> TransformersEncoder:
    """Return a model of transformers."""
    return TransformersEncoder(source, device, precision, seed)


def absent_weights(source: ClipSource) -> Absent | None:
    """Return a file that the model needs and that is not on this machine, None where nothing is missing."""
    return transformers_files.absent(source)


def config_of(model: str) -> dict[str, Any]:
    """Return the configuration of a model, as its encoder has it."""
    return {"library": LIBRARY, **transformers_files.found_files(model).config}


def image_tower(config: dict[str, Any], quick_gelu: bool, size: int | None = None) -> nn.Module:
    """Return the untrained image tower of a configuration, which says its activation itself; as `encoder.image_tower`."""
    least = {**config.get("text_config", {}), "num_hidden_layers": 0, "vocab_size": 8}  # no text is read
    tower = ImageTower(_built({**config, "text_config": least}, str(config.get("_name_or_path") or LIBRARY)))
    if size is not None:
        tower.resize_to(size)
    return tower


def _built(config: dict[str, Any], model: str) -> Any:
    """Return the untrained model of a configuration."""
    try:
        import transformers
    except ImportError as error:
        raise AevlpError(f"{TRANSFORMERS} models need transformers: pip install 'aevlp[transformers]'") from error
    transformers_files.check_config(config, model)
    kinds, cls = KINDS[config["model_type"]]
    known = {name: value for name, value in config.items() if name not in ("library", "auto_map")}
    try:
        with quiet():
            return getattr(transformers, cls)(getattr(transformers, kinds).from_dict(known))
    except Exception as error:  # whatever a foreign configuration raises
        raise AevlpError(
            f"{model} cannot be built ({first_line(error)}): is its config.json that of a {cls}?"
        ) from error


def _fill(model: Any, files: Sequence[Path], name: str) -> None:
    """Load weights; what is missing in them, or has another shape, is an error."""
    from safetensors.torch import load_file

    state: dict[str, Tensor] = {}
    for file in files:
        try:
            state |= load_file(file)
        except Exception as error:  # whatever a foreign file raises
            raise AevlpError(f"{file} cannot be read as safetensors: {first_line(error)}") from error
    wanted = model.state_dict()
    faults = {
        "missing in it": [key for key in wanted if key not in state],
        "of another shape": [key for key in wanted if key in state and state[key].shape != wanted[key].shape],
        "none of its own": [key for key in state if key not in wanted and not key.endswith("position_ids")],
    }
    for fault, keys in faults.items():
        if files and keys:
            raise AevlpError(
                f"{files[0]} does not hold weights of {name}: {len(keys)} tensors are {fault}, first {keys[0]}"
            )
    model.load_state_dict({key: state[key] for key in wanted if key in state}, strict=False)


def _tokenizer(files: Files, name: str) -> Any:
    from transformers import AutoTokenizer

    transformers_files.require_tokenizer(files, name)
    with _of_tokenizer(files, name):
        return AutoTokenizer.from_pretrained(str(files.folder), local_files_only=True, trust_remote_code=False)


@contextmanager
def _of_tokenizer(files: Files, name: str) -> Iterator[None]:
    """Have what a model's tokenizer raises, when it is loaded or first used, say which files it is about."""
    try:
        with quiet():
            yield
    except Exception as error:  # whatever foreign files raise
        reason = first_line(error)
        if isinstance(error, ImportError):
            reason += " (pip install sentencepiece)"
        elif not (
            files.folder / TOKENIZER_CONFIG
        ).is_file():  # of which transformers speaks in a page about model classes
            reason = f"there is no {TOKENIZER_CONFIG}, which says what kind of tokenizer it is"
        raise AevlpError(
            f"cannot load the tokenizer of {name}: {reason}; it needs its tokenizer.json and {TOKENIZER_CONFIG} in "
            f"{files.folder}"
        ) from error


def _as_trained(files: Files, source: ClipSource) -> AsTrained:
    """Return how a model was trained, by its own two configurations; what `source` says of its pixels holds instead."""
    said, place = files.preprocessing, f"{PREPROCESSING} of {source.model}"
    means = source.mean, source.std
    if source.mean is not None or source.std is not None:
        (mean, std), by = checked(*means, ("mean", "std")), source.said_by
    elif said.get("image_mean") is not None or said.get("image_std") is not None:
        names = (f"image_mean in {place}", f"image_std in {place}")
        (mean, std), by = checked(said.get("image_mean"), said.get("image_std"), names), PREPROCESSING
    else:
        (mean, std), by = DEFAULTS[files.config["model_type"]], "transformers' default"
    vision = files.config.get("vision_config", {})
    activation = QUICK if vision.get("hidden_act", _default_activation(files)) == QUICK else PLAIN
    if source.activation not in (None, activation):
        raise AevlpError(
            f"{source.model} has the activation {activation} by its config.json, and cannot have {source.activation}: leave "
            f"--activation out"
        )
    sizes = said.get("size") if isinstance(said.get("size"), dict) else {}
    mode = "shortest" if "shortest_edge" in (sizes or {}) else "squash" if "height" in (sizes or {}) else None
    return AsTrained(mean, std, by, activation, RESAMPLING.get(said.get("resample", -1)), mode)


def _default_activation(files: Files) -> str:
    """Return the activation that transformers takes where a configuration says none."""
    return QUICK if files.config["model_type"] == "clip" else PLAIN
