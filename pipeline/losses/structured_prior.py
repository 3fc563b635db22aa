"""SCPNet's loss (Ding et al., "Exploring Structured Semantic Prior for Multi Label Recognition …", CVPR 2023)."""

import numpy as np
import torch
from torch import Tensor, nn

from ..clip.text_graph import relation_matrices
from ..plugins import check_ranges
from .interface import Targets, logits_of, rows_of_table, wide
from .label_consistency import class_confidence, consistency
from .self_paced_correction import SelfPacedCorrection


class StructuredPrior(nn.Module):
    """Self-paced correction (`splc`) plus lambda_u x the consistency of a weak and a strong view under a relation of labels.

    The paper's: both terms and their sum; thresholds that follow how often each class became a label, from a table of the last
    labels of every image. Ours: the weak view is the image's other flip and the strong one what training makes of it; the
    relation is the cosine of the class prompts' text features; and the classifier is the run's own, where the paper
    trains a graph network on text features, CLIP's image tower and the prompt's context.

    observed: (N, C) codes of the whole training set; targets must then have rows, and `selected`, (N, C) int8, is the table.
    Without it every class keeps the confidence 1/C that it starts with. relation: (C, C) similarities of labels; without it the
    classes are unrelated, Q is the identity. hard_k: >= 1, cutoff: in [0, 1], kl_lambda: >= 0, as in `consistency`. lambda_u:
    >= 0. sparse_topk, reweight, relation_temperature: as in `relation_matrices`, more neighbours than classes are all of them.
    tau, change_epoch, margin, gamma: of `splc`. All is summed, nothing averaged.
    """

    smoothed: Tensor
    selected: Tensor | None

    def __init__(
        self,
        num_classes: int,
        observed: Tensor | None = None,
        relation: np.ndarray | None = None,
        *,
        hard_k: int = 2,
        cutoff: float = 0.95,
        kl_lambda: float = 1.0,
        lambda_u: float = 0.125,
        sparse_topk: int = 1000,
        reweight: float = 0.2,
        relation_temperature: float = 0.2,
        tau: float = 0.6,
        change_epoch: int = 1,
        margin: float = 1.0,
        gamma: float = 2.0,
    ) -> None:
        shape = (num_classes, num_classes) if relation is None else relation.shape
        check_ranges(
            "loss scpnet",
            ("hard_k", hard_k, hard_k >= 1, "at least 1"),
            ("cutoff", cutoff, 0 <= cutoff <= 1, "in [0, 1]"),
            ("kl_lambda", kl_lambda, kl_lambda >= 0, "at least 0"),
            ("lambda_u", lambda_u, lambda_u >= 0, "at least 0"),
            ("relation", shape, shape == (num_classes, num_classes), f"({num_classes}, {num_classes})"),
        )
        super().__init__()
        self.hard_k, self.cutoff, self.kl_lambda, self.lambda_u = int(hard_k), cutoff, kl_lambda, lambda_u
        self.supervised = SelfPacedCorrection(
            num_classes, tau=tau, change_epoch=change_epoch, margin=margin, gamma=gamma
        )
        smoothed = np.eye(num_classes, dtype=np.float32)
        if relation is not None and num_classes > 1:
            smoothed, _ = relation_matrices(relation, sparse_topk, reweight, relation_temperature)
        self.register_buffer("smoothed", torch.from_numpy(smoothed), persistent=False)
        self.register_buffer("selected", None if observed is None else torch.zeros_like(observed, dtype=torch.int8))

    def set_epoch(self, epoch: int, epochs: int) -> None:
        self.supervised.set_epoch(epoch, epochs)

    def forward(self, logits: Tensor, targets: Targets) -> Tensor:
        logits = wide(logits, targets.observed)
        weak, strong = (logits_of(targets, name, logits, "scpnet") for name in ("mirrored", "strong"))
        rows = None if self.selected is None else rows_of_table(targets, self.selected, "scpnet")
        confidence = self._confidence(logits)
        unsupervised, labels = consistency(
            strong, weak, targets.observed, self.smoothed, confidence, self.hard_k, self.cutoff, self.kl_lambda
        )
        if self.selected is not None:
            kept = torch.where(labels.any(dim=1, keepdim=True), labels.to(torch.int8), self.selected[rows])
            self.selected[rows] = kept
        return self.supervised(logits, targets) + self.lambda_u * unsupervised

    def _confidence(self, logits: Tensor) -> Tensor:
        """Return each class's confidence before this step, (C,) float64."""
        if self.selected is None:
            classes = logits.shape[1]
            return torch.full((classes,), 1 / classes, dtype=torch.float64, device=logits.device)
        return class_confidence(self.selected, self.hard_k)
