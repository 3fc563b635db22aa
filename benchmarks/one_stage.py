"""Images, class names, observed labels -> a classifier, in one stage: CLIP labels every batch of every epoch anew.

The plain program that two stages are compared with, written from the description of the method (Tran et al., ICCV 2025) in torch,
torchvision and open_clip alone: for each batch it decodes every file twice, crops and transforms view by view, encodes the
same prompts again, and computes labels and loss as they are written.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import timm
import torch
from generated import input_size
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Constants:
    """Of the labels and the loss, as published for VOC."""

    temperature: float = 0.01
    eta: float = 0.0
    threshold: float = 0.5
    top_k: int = 3
    negative_ratio: float = 0.2
    q2: float = 0.01
    q3: float = 1.0
    lam_1: float = 0.7
    lam_2: float = 0.4
    rho: float = 0.9
    reg: float = 0.05
    expected_positives: float = 1.5
    epochs: int = 8


def transform(size: int) -> Any:
    """Return what is done to each view, and to each image for the classifier."""
    return transforms.Compose(
        [
            transforms.Resize((size, size)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )


class Images(Dataset):
    """Item i: number, views (V, 3, s, s) and the classifier's input (3, S, S) of image i, float32."""

    def __init__(self, paths: Sequence[Path], grid: int, view_size: int, size: int) -> None:
        self.paths, self.grid = list(paths), grid
        self.of_view, self.of_image = transform(view_size), transform(size)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, number: int) -> tuple[int, Tensor, Tensor]:
        with Image.open(self.paths[number]) as file:
            image = file.convert("RGB")
        width, height = image.width // self.grid, image.height // self.grid
        views = [image]
        for y in range(self.grid):
            for x in range(self.grid):
                views.append(image.crop((x * width, y * height, (x + 1) * width, (y + 1) * height)))
        with Image.open(self.paths[number]) as file:
            again = file.convert("RGB")
        return number, torch.stack([self.of_view(view) for view in views]), self.of_image(again)


class OneStage:
    """The loop, and all that it holds from epoch to epoch. views: how many it has encoded."""

    def __init__(
        self,
        clip: tuple[str, Any],
        names: Sequence[str],
        backbone: str,
        paths: Sequence[Path],
        observed: Tensor,
        grid: int,
        size: int,
        device: torch.device,
        batch: int = 8,
        workers: int = 2,
        lr: float = 1e-5,
        constants: Constants | None = None,
    ) -> None:
        """clip: open_clip's name of a model, and the model on the device. observed: (N, C). size: of the classifier's input."""
        name, self.clip = clip
        self.tokenize, self.sentences = open_clip.get_tokenizer(name), [f"a photo of a {name}." for name in names]
        self.classifier: Any = timm.create_model(backbone, num_classes=len(names)).to(device)
        head = list(self.classifier.get_classifier().parameters())
        of_head = {id(parameter) for parameter in head}
        extractor = [parameter for parameter in self.classifier.parameters() if id(parameter) not in of_head]
        self.optimizer = torch.optim.Adam([{"params": extractor, "lr": lr}, {"params": head, "lr": 10 * lr}])
        images = Images(paths, grid, input_size(self.clip), size)
        self.loader = DataLoader(images, batch, shuffle=True, num_workers=workers)
        self.observed, self.device, self.constants = observed.to(device), device, constants or Constants()
        self.views = 0
        on_gpu = device.type == "cuda"
        self.mixed = torch.autocast("cuda", torch.bfloat16) if on_gpu else nullcontext()  # as aevlp has it there

    def epoch(self, number: int = 1) -> int:
        """Train on every image once; return how many there were."""
        self.classifier.train()
        images = 0
        for rows, views, pixels in self.loader:
            observed = self.observed[rows.to(self.device)]
            codes = self.labels(views.to(self.device), observed)
            with self.mixed:
                logits = self.classifier(pixels.to(self.device))
            loss = gpr(logits.float(), observed, codes, number, self.constants)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            images += len(rows)
        return images

    @torch.no_grad()
    def labels(self, views: Tensor, observed: Tensor) -> Tensor:
        """Return the codes (B, C) of a batch from its views (B, V, 3, s, s)."""
        n, v = views.shape[:2]
        by_view = views.transpose(0, 1).flatten(0, 1)  # view by view, all images of each
        with self.mixed:
            features = self.clip.encode_image(by_view)
            text = self.clip.encode_text(self.tokenize(self.sentences).to(self.device))
        features, text = features.float(), text.float()
        cosines = (features / features.norm(dim=-1, keepdim=True)) @ (text / text.norm(dim=-1, keepdim=True)).T
        self.views += len(by_view)
        return damp(cosines.view(v, n, -1), observed, self.constants)


def damp(cosines: Tensor, observed: Tensor, constants: Constants) -> Tensor:
    """Return the codes (B, C), 1, 0 or -1, from cosines (V, B, C) and observed labels (B, C)."""
    whole, *tiles = (cosines / constants.temperature).softmax(dim=-1)
    of_tiles = torch.stack(tiles)
    highest, lowest, mean = of_tiles.amax(dim=0), of_tiles.amin(dim=0), of_tiles.mean(dim=0)
    best_observed = (whole * observed).amax(dim=1, keepdim=True)
    gate = highest > best_observed.clamp(max=constants.eta)
    score = (whole + torch.where(gate, highest, lowest)) / 2
    ranking = (whole + mean) / 2
    codes = torch.zeros_like(score)
    top, where = score.topk(min(constants.top_k, score.shape[1]), dim=1)
    codes.scatter_(1, where, (top >= constants.threshold).to(codes.dtype))
    negatives = int(constants.negative_ratio * score.shape[1])
    if negatives:
        codes.scatter_(1, ranking.topk(negatives, dim=1, largest=False).indices, -1.0)
    return codes


def gpr(logits: Tensor, observed: Tensor, codes: Tensor, epoch: int, constants: Constants) -> Tensor:
    """Return the loss of a batch, written down entry by entry."""
    c = constants
    later, now = (epoch - 1) / c.epochs, epoch / c.epochs
    w, b, mu, sigma = 2 * later, -2.0, 0.5 + 0.3 * now, 2 - 1.5 * now
    p = logits.sigmoid()
    fixed = p.detach()
    k = 1 / (1 + torch.exp(-(w * fixed + b)))
    v = torch.exp(-(((fixed - mu) / sigma) ** 2) / 2)
    clipped = v.clamp(1 - c.lam_1, 1 - c.lam_2)

    def log(x: Tensor) -> Tensor:
        return -torch.log(x + 1e-7)

    robust = k * (1 - (p + 1e-7) ** c.q2) / c.q2 + (1 - k) * (1 - (1 - p + 1e-7) ** c.q3) / c.q3
    pseudo = (1 - clipped) * (c.rho * log(p) + (1 - c.rho) * log(1 - p))
    known = torch.where(observed != 0, observed.to(codes.dtype), codes)
    entries = torch.where(known == 1, pseudo, torch.where(known == -1, v * log(1 - p), v * robust))
    entries = torch.where(observed == 1, log(p), entries)
    penalty = ((p.sum(dim=1).mean() - c.expected_positives) / logits.shape[1]) ** 2
    return entries.mean() + c.reg * penalty
