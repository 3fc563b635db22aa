"""A quality for each view of an image, by a network that sees its embedding (RANK: Liu et al., IEEE TPAMI 2025)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import AevlpError
from ..labels.damp import DampSettings, codes_from_scores
from ..runtime.seeding import derive
from .interface import VIEWS, Known, Labels
from .quality_network import quality_loss, view_quality

HIDDEN = 32  # ours; the released network's hidden layer is as wide as a view
EPOCHS, BATCH, RATE = 30, 128, 3e-3


class ViewQuality:
    """Codes as `Damp`'s, of all views fused by the quality that RANK's network gives them, the whole image's included.

    The released program's: the network, its target and its loss, and that fusion is a mean of views by their quality. Ours: views
    are crops and their vectors CLIP's, which are fixed, so that nothing else is trained; the classifier of views and of their
    fusion is CLIP's softmax over the prompts in place of a trained one; a hidden layer of 32, where the release's is as wide as a
    view; and how it is fitted.

    w1: H * D, row by row. b1: H. w2: H. b2: finite. All are fitted by `aevlp calibrate`. The other constants, and what is
    raised: `DampSettings`.
    """

    reads: tuple[str, ...] = (VIEWS,)

    def __init__(
        self,
        *,
        temperature: float,
        threshold: float,
        top_k: int,
        negative_ratio: float,
        w1: Sequence[float] | None = None,
        b1: Sequence[float] | None = None,
        w2: Sequence[float] | None = None,
        b2: float = 0.0,
        compat: str = "paper",
    ) -> None:
        if w1 is None or b1 is None or w2 is None:
            raise AevlpError(
                "policy view-quality needs a network that is fitted: run aevlp calibrate CACHE --policy view-quality "
                "first, and pass its file as --policy"
            )
        self.settings = DampSettings(temperature, 0.0, threshold, top_k, negative_ratio, compat)
        hidden = len(b1)
        if not hidden or len(w2) != hidden or not len(w1) or len(w1) % hidden:
            raise AevlpError(
                f"w1 of policy view-quality must be H * D numbers, b1 and w2 H, found {len(w1)}, {hidden} and {len(w2)}"
            )
        first, bias, second, last = (torch.tensor(values, dtype=torch.float32) for values in (w1, b1, w2, [b2]))
        self._network = first.reshape(hidden, -1), bias, second[None], last

    def scores(
        self, similarity: np.ndarray, observed: np.ndarray, view_embedding: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the softmax over classes of the fused view's cosines, twice, (n, C) float32."""
        width = self._network[0].shape[1]
        if view_embedding.shape[2] != width:
            raise AevlpError(
                f"policy view-quality was fitted to embeddings {width} wide, and these are {view_embedding.shape[2]}: calibrate "
                f"on this cache"
            )
        quality = view_quality(torch.from_numpy(view_embedding), *self._network)
        # A view's cosines are linear in its vector: those of the fused view are the mean of the views'.
        fused = torch.einsum("nv,nvc->nc", quality, torch.from_numpy(similarity))
        final = (fused / self.settings.temperature).softmax(dim=1).numpy()
        return final, final

    def __call__(self, known: Known) -> Labels:
        return Labels(codes_from_scores(known.final, known.ranking, self.settings), known.final)


def fit_quality_network(views: Tensor, target: Tensor, seed: int = 0) -> tuple[dict[str, Any], Tensor]:
    """Return the constants w1, b1, w2 and b2 of `ViewQuality`, fitted to what views deserve, and the quality (n, V) they give.

    views: (n, V, D) float32. target: (n, V), of `quality_target`. The network starts at equal quality, with weights drawn by
    `seed`, and is trained by Adam on `quality_loss` for 30 epochs.
    """
    random = torch.Generator().manual_seed(derive(seed, "quality"))
    width = views.shape[2]
    w1 = (torch.randn((HIDDEN, width), generator=random) * (2 / width) ** 0.5).requires_grad_()
    b1, w2, b2 = (torch.zeros(shape, requires_grad=True) for shape in ((HIDDEN,), (1, HIDDEN), (1,)))
    network = (w1, b1, w2, b2)
    optimiser = torch.optim.Adam(network, lr=RATE)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(views), generator=random).split(BATCH):
            optimiser.zero_grad()
            quality_loss(view_quality(views[rows], *network), target[rows]).backward()
            optimiser.step()
    with torch.no_grad():
        quality = view_quality(views, *network)
    numbers = {
        name: [float(f"{value:.6g}") for value in part.detach().flatten().tolist()]
        for name, part in zip(("w1", "b1", "w2", "b2"), network, strict=True)
    }
    return {**numbers, "b2": numbers["b2"][0]}, quality
