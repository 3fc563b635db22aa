"""Multi-label supervised contrastive learning, MulSupCon (Zhang and Wu, AAAI 2024), beside assume negative with pseudo-labels."""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from ..errors import AevlpError
from .interface import Targets, check_ranges, effective_codes, needed, wide
from .pseudo_label_baselines import assume_negative_entries


class SupervisedContrastive:
    """Assume negative with pseudo-labels (`an-pl`) plus weight x a contrastive term on the features.

    The paper's is the contrastive term: each label of an image is a task of its own, whose positives are the images that share
    it. Ours: the others are those of the batch, where the paper has a queue of features of a momentum encoder; the labels are
    observed or pseudo-positives; and the sum with a classification loss, in place of pre-training. weight: >= 0.
    temperature: > 0.
    """

    def __init__(self, num_classes: int, *, weight: float = 0.1, temperature: float = 0.1) -> None:
        check_ranges(
            "mulsupcon",
            ("weight", weight, weight >= 0, "at least 0"),
            ("temperature", temperature, temperature > 0, "above 0"),
        )
        self.num_classes, self.weight, self.temperature = num_classes, weight, temperature

    def set_epoch(self, epoch: int, epochs: int) -> None:
        """Do nothing: the loss is the same in every epoch."""

    def __call__(self, logits: Tensor, targets: Targets) -> Tensor:
        features = needed(targets, "features", "mulsupcon")
        logits = wide(logits, targets.observed, targets.pseudo)
        if features.ndim != 2 or len(features) != len(logits):
            raise AevlpError(
                f"features must be (images, width) for the logits' shape {tuple(logits.shape)}, found {tuple(features.shape)}"
            )
        entries = assume_negative_entries(logits, targets.observed, targets.pseudo)
        contrast = contrastive(features, effective_codes(targets) == 1, self.temperature)
        return entries.mean() + self.weight * contrast


def contrastive(features: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the contrastive term of features (B, D) and labels (B, C) bool, a scalar; 0 where no two images share a label.

    For image i and a label c of it, over the P other images p with c, the mean of -ln softmax over all others of z_i z_p / t, z
    unit features and t the temperature; of that the mean over all (i, c) with P > 0. Zhang and Wu, AAAI 2024.
    """
    with torch.autocast(features.device.type, enabled=False):
        features = features if features.dtype == torch.float64 else features.float()
        # Not 1e-12: the gradient of a feature vector of zeros must fit half precision.
        z = normalize(features, dim=1, eps=1e-3)
        itself = torch.eye(len(z), dtype=torch.bool, device=z.device)
        similarity = z @ z.T / temperature
        others = similarity.masked_fill(itself, torch.finfo(z.dtype).min)
        log_share = (others - others.logsumexp(dim=1, keepdim=True)).masked_fill(itself, 0)

        label = labels.to(z.dtype)
        partners = label.sum(dim=0) - 1
        weights = (label / partners.clamp(min=1)) @ label.T  # summed over the labels that two images share
        pairs = torch.where(partners > 0, label, torch.zeros_like(label)).sum()
        return -(weights * log_share).sum() / pairs.clamp(min=1)
