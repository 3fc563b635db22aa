"""Multi-label supervised contrastive learning, MulSupCon (Zhang and Wu, AAAI 2024), beside or before a classification loss."""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import AevlpError
from ..plugins import check_ranges
from .interface import Targets, effective_codes, features_of, wide
from .key_queue import KeyQueue
from .pseudo_label_baselines import assume_negative_entries

PATTERNS = ("MulSupCon", "any", "all")  # the names of the paper's program


def multi_label_contrastive_loss(
    query: Tensor,
    key: Tensor,
    labels: Tensor,
    temperature: float,
    references: Tensor | None = None,
    reference_labels: Tensor | None = None,
    per_image_weight: bool = False,
    pattern: str = "MulSupCon",
) -> Tensor:
    """Return the contrastive loss of a batch, a scalar, in which each label of an image is a task of its own.

    query, key: (B, D) features of two views of each image, of any length; gradient goes to the query alone. labels: (B, C) 0/1.
    temperature: > 0. references, reference_labels: (R, D) and (R, C), more keys beside the batch's own, as of a queue; None for
    none. For each label l of image i: -1/|J| times the sum over the references J with l, among them the image's own key, of ln
    softmax(q k / temperature) over all references. per_image_weight: every image weighs 1/B, shared by its labels; else every
    (image, label) the same. pattern "any": for each image J are the references that share a label, "all": those with the same
    labels; the mean over images. An image without labels adds nothing (under "any" too, where the program's value is not a
    number), and where no image has one the loss is 0. float64 is computed in float64, anything else in float32. Raises AevlpError
    for other shapes, a temperature of 0 or less, and another pattern. Source: Zhang and Wu, AAAI 2024, and their program.
    """
    _check(query, key, labels, references, reference_labels, temperature, pattern)
    with torch.autocast(query.device.type, enabled=False):
        query = query if query.dtype == torch.float64 else query.float()
        keys = key if references is None else torch.cat([key, references.to(key)])
        marks = labels if reference_labels is None else torch.cat([labels, reference_labels.to(labels)])
        # Not 1e-12: the gradient of a feature vector of zeros must fit half precision.
        queries, keys = (normalize(part, dim=1, eps=1e-3) for part in (query, keys.detach().to(query.dtype)))
        log_share = (queries @ keys.T / temperature).log_softmax(dim=1)
        of, at = ((part > 0).to(query.dtype) for part in (labels, marks))
        return -(_weights(of, at, per_image_weight, pattern) * log_share).sum()


def _weights(labels: Tensor, marks: Tensor, per_image_weight: bool, pattern: str) -> Tensor:
    """Return what ln softmax of each image at each reference weighs, (B, R), of 0/1 labels (B, C) and (R, C)."""
    if pattern == "MulSupCon":
        pairs = labels.sum(dim=1, keepdim=True) * len(labels) if per_image_weight else labels.sum()
        return labels / pairs.clamp(min=1) / marks.sum(dim=0).clamp(min=1) @ marks.T
    shared, sizes = labels @ marks.T, (labels.sum(dim=1, keepdim=True), marks.sum(dim=1))
    alike = shared > 0 if pattern == "any" else (shared == sizes[0]) & (shared == sizes[1])
    chosen = alike.to(labels.dtype)
    return chosen / chosen.sum(dim=1, keepdim=True).clamp(min=1) / len(labels)


def _check(
    query: Tensor,
    key: Tensor,
    labels: Tensor,
    references: Tensor | None,
    reference_labels: Tensor | None,
    temperature: float,
    pattern: str,
) -> None:
    if query.ndim != 2 or key.shape != query.shape or labels.ndim != 2 or len(labels) != len(query):
        shapes = ", ".join(str(tuple(part.shape)) for part in (query, key, labels))
        raise AevlpError(f"query and key must be (images, width), labels (images, classes), found the shapes {shapes}")
    if (references is None) != (reference_labels is None):
        raise AevlpError("references and reference_labels go together: pass both, or none")
    if references is not None and reference_labels is not None:
        wanted = (len(references), query.shape[1]), (len(references), labels.shape[1])
        if (references.shape, reference_labels.shape) != wanted:
            raise AevlpError(
                f"references and their labels must be {wanted[0]} and {wanted[1]}, found {tuple(references.shape)} and "
                f"{tuple(reference_labels.shape)}"
            )
    if not temperature > 0:
        raise AevlpError(f"temperature must be above 0, found {temperature}")
    if pattern not in PATTERNS:
        raise AevlpError(f"pattern must be one of {', '.join(PATTERNS)}, found {pattern!r}")


class SupervisedContrastive:
    """The contrastive term on the features, beside `an-pl` or in the epochs before it.

    The paper's: the term (`multi_label_contrastive_loss`), the image's other view a positive and a reference, the queue, and the
    term alone as pre-training. Ours: the other view is the mirrored one as the classifier itself sees it, where the paper has a
    momentum encoder; features are compared as they are, without a projection head; labels are observed or pseudo-positives; and
    where `pretraining_epochs` is 0 both losses are summed in every epoch, which the paper's program has no weight for.

    pretraining_epochs: >= 0 and fewer than there are; in so many the contrastive term alone is learned, then `an-pl` alone, for
    which the paper trains the backbone at a tenth of the head's rate, as `head_lr_factor` of the recipe says. weight: >= 0, of
    the term where both are summed. temperature: > 0. queue: >= 0, how many keys it holds, 0 for none. per_image_weight: as there.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        weight: float = 0.1,
        temperature: float = 0.1,
        queue: int = 256,
        per_image_weight: bool = False,
        pretraining_epochs: int = 0,
    ) -> None:
        check_ranges(
            "loss mulsupcon",
            ("weight", weight, weight >= 0, "at least 0"),
            ("temperature", temperature, temperature > 0, "above 0"),
            ("queue", queue, queue >= 0, "at least 0"),
            ("pretraining_epochs", pretraining_epochs, pretraining_epochs >= 0, "at least 0"),
        )
        self.num_classes, self.weight, self.temperature = num_classes, weight, temperature
        self.per_image_weight, self.pretraining_epochs = per_image_weight, int(pretraining_epochs)
        self.queue = KeyQueue(int(queue))
        self.epoch = 1

    def set_epoch(self, epoch: int, epochs: int) -> None:
        if self.pretraining_epochs >= epochs:
            raise AevlpError(
                f"pretraining_epochs of loss mulsupcon must be fewer than the {epochs} epochs, found {self.pretraining_epochs}"
            )
        self.epoch = epoch

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed, targets.pseudo)
        if self.pretraining_epochs and self.epoch > self.pretraining_epochs:
            return assume_negative_entries(logits, targets.observed, targets.pseudo).mean()
        query, key = (features_of(targets, name, logits, "mulsupcon") for name in ("features", "mirrored_features"))
        labels = effective_codes(targets) == 1
        held = self.queue.read(key, labels) or (None, None)
        contrast = multi_label_contrastive_loss(query, key, labels, self.temperature, *held, self.per_image_weight)
        self.queue.store(key, labels)
        if self.pretraining_epochs:
            return contrast + 0 * logits.sum()  # the head learns nothing yet, and its gradient is there
        entries = assume_negative_entries(logits, targets.observed, targets.pseudo)
        return entries.mean() + self.weight * contrast

    def state_dict(self) -> dict[str, Any]:
        """Return the queue's content."""
        return self.queue.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the queue's content of `state_dict`."""
        self.queue.load_state_dict(state_dict)
