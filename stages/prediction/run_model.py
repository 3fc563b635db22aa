"""The classifier of a run, as a model that labels images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from ...pipeline.clip.image_tower import features_of
from ...pipeline.files.stamps import content_sha256
from ...pipeline.images.read import Unreadable
from ...pipeline.images.resizing import resized_image
from ...pipeline.manifest.formats import PACKAGED
from ...pipeline.training.classifier import Architecture
from ...pipeline.training.decided import decision_of
from ...pipeline.training.distributed import own_device
from ...pipeline.training.inputs import EVALUATION_BATCH, PixelInputs, normalized, scaling
from ...pipeline.training.loop import Batches, autocast, predict_logits
from ...pipeline.training.run_folder import RunFolder
from ..cache_origin import scoring_encoder
from .model import Running, Scored


class OfPixels(nn.Module):
    """A classifier of embeddings, with the tower that makes them."""

    def __init__(self, tower: nn.Module, classifier: nn.Module) -> None:
        super().__init__()
        self.tower, self.classifier = tower, classifier

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.classifier(functional.normalize(self.tower(pixels).float(), dim=-1))


def pixel_classifier(folder: RunFolder) -> tuple[nn.Module, Architecture, dict[str, Any]]:
    """Return a run's classifier of normalised pixels (B, 3, S, S) -> logits (B, C), its architecture, and its description.

    Raises AevlpError where the folder is no run, or has lost what it needs.
    """
    classifier, architecture, description = folder.load_best()
    if architecture.backbone != "linear":
        return classifier, architecture, description
    return OfPixels(_tower(folder, description), classifier).eval(), architecture, description


class RunModel:
    """A `Model`: the best weights of a run."""

    def __init__(self, place: Path, running: Running) -> None:
        folder = RunFolder(place)
        self.place, self.running = place, running
        self.classifier, self.architecture, self.description = pixel_classifier(folder)
        self.sha256 = content_sha256(folder.best_file)
        self.classes: list[str] = self.description["classes"]
        self.decision = decision_of(self.description, folder.best_file)
        self.device = own_device(running.device, running.rank)
        self.classifier.to(self.device)
        self._unreadable: dict[int, Unreadable] = {}
        self._reading: tuple[np.ndarray, PixelInputs] | None = None

    @property
    def upright(self) -> bool:
        """Whether an image is turned by its EXIF orientation first."""
        return self.architecture.upright

    def scored(self, images: np.ndarray, rows: np.ndarray | None = None) -> Iterator[Scored]:
        """Yield what `Model.scored` says."""
        inputs = self._inputs_of(images)
        wanted = np.arange(len(images)) if rows is None else rows
        self._unreadable.clear()
        for here, pixels in inputs.batches(wanted, inputs.evaluation_batch):
            logits = predict_logits(self.classifier, [(here, pixels)], autocast(self.device, None))
            yield Scored(here, logits, self._faults())
        if self._unreadable:
            yield Scored(np.empty(0, np.int64), np.empty((0, len(self.classes)), np.float32), self._faults())

    def _inputs_of(self, images: np.ndarray) -> PixelInputs:
        """Return what reads images, whose workers wait for the next call with the same array."""
        if self._reading is None or self._reading[0] is not images:
            of = self.architecture
            inputs = PixelInputs(
                Path(), images, of.size, of.upright, of.mean, of.std, self.device, self.running.workers, of.resize,
                max_pixels=self.running.max_pixels, unreadable=self._unreadable,
            )  # fmt: skip
            self._reading = images, inputs
        return self._reading[1]

    def _faults(self) -> dict[int, Unreadable]:
        """Return what was found unreadable since the last call."""
        faults = dict(self._unreadable)
        self._unreadable.clear()
        return faults

    def logits_of(self, pixels: list[np.ndarray]) -> np.ndarray:
        """Return what `Model.logits_of` says."""
        of, scale = self.architecture, scaling(self.architecture.mean, self.architecture.std, self.device)

        def batches() -> Batches:
            for start in range(0, len(pixels), EVALUATION_BATCH):
                some = [
                    resized_image(torch.tensor(one), of.size, of.resize) for one in pixels[start:][:EVALUATION_BATCH]
                ]
                whole = torch.stack(some).permute(0, 2, 3, 1).to(self.device)
                yield np.arange(start, start + len(some)), normalized(whole, scale)

        return predict_logits(self.classifier, batches(), autocast(self.device, None))

    def close(self) -> None:
        """End the workers that read images."""
        self._reading = None


def _tower(folder: RunFolder, description: dict[str, Any]) -> nn.Module:
    """Return what makes the embeddings that a linear classifier reads: the run's own tower, or that of the scoring model."""
    visual = folder.load_tower()
    if visual is None:  # of an earlier version, or trained where the scoring model was not
        manifests = Path(description["manifest"] or PACKAGED).parent
        visual = scoring_encoder(description, manifests, torch.device("cpu")).model.visual
    return features_of(visual)
