"""A multi-label image classifier that reads unit vectors of an image tower. It needs timm and transformers alone.

This file lies beside the weights that it is for: `transformers` loads it where `trust_remote_code=True` is passed.
"""

from typing import Any

import timm
import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import ImageClassifierOutput


class UnitVectorConfig(PreTrainedConfig):
    """What the model is built from: a vision transformer of timm, and how wide its vectors are."""

    model_type = "unit_vector_classifier"

    architecture: str = "vit_base_patch16_clip_224"
    model_args: dict[str, Any] | None = None
    embedding_width: int = 512


class UnitVectorClassifier(PreTrainedModel):
    """Pixels -> a vector, of length one, times the root of its width -> logits by a linear head."""

    config_class = UnitVectorConfig
    main_input_name = "pixel_values"

    def __init__(self, config: UnitVectorConfig) -> None:
        super().__init__(config)
        self.tower = timm.create_model(
            config.architecture, pretrained=False, num_classes=config.embedding_width, **(config.model_args or {})
        )
        self.classifier = nn.Linear(config.embedding_width, config.num_labels or 0)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        """Leave each layer as it was made: all weights come from the file."""

    def forward(self, pixel_values: torch.Tensor, **_: Any) -> ImageClassifierOutput:
        """Return logits (B, C) of normalised pixels (B, 3, S, S)."""
        vectors = nn.functional.normalize(self.tower(pixel_values), dim=-1)
        return ImageClassifierOutput(logits=self.classifier(vectors * vectors.shape[-1] ** 0.5))  # type: ignore[arg-type]
