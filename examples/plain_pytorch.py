"""A cache in a training loop of one's own: plain PyTorch, a linear classifier on the cached embeddings, any loss.

aevlp pseudolabel --dataset scenes
python examples/plain_pytorch.py cache/scenes.h5 gpr
"""

import sys

import numpy as np
import torch

from aevlp import DampSettings, Targets, create_loss, mean_average_precision, open_cache, split_train_val

EPOCHS, BATCH = 10, 32


def main(path: str, name: str) -> None:
    """Train on a cache with a loss of `aevlp losses` that reads labels alone, and print validation mAP after each epoch."""
    torch.manual_seed(0)
    cache = open_cache(path)
    method = {key: value for key, value in cache.provenance["method"].items() if key != "grid"}
    settings = DampSettings(**method)  # or other constants: no image is scored again
    usable = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    train, val = (usable[part] for part in split_train_val(len(usable)))

    features = torch.from_numpy(cache.embedding(slice(None))[:, 0])  # (N, D), the images as they are, not mirrored
    observed = torch.from_numpy(cache.observed)
    labels = cache.observed if cache.truth is None else cache.truth
    model = torch.nn.Linear(features.shape[1], len(cache.classes))
    loss = create_loss(name, len(cache.classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(1, EPOCHS + 1):
        loss.set_epoch(epoch, EPOCHS)
        pseudo = torch.from_numpy(cache.codes(settings, epoch))  # each view's flip drawn anew, as if scored again
        for rows in torch.from_numpy(train)[torch.randperm(len(train))].split(BATCH):
            logits = model(features[rows])
            value = loss(logits, Targets(observed=observed[rows], pseudo=pseudo[rows]))
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
        with torch.no_grad():
            scores = model(features[val]).numpy()
        print(f"epoch {epoch}: validation mAP {100 * mean_average_precision(scores, labels[val]):.2f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
