"""A cache in the Trainer of Hugging Face: `compute_loss` hands the logits and the cached labels to a loss of aevlp.

pip install transformers accelerate
aevlp pseudolabel --dataset scenes
python examples/hugging_face_trainer.py cache/scenes.h5 gpr
"""

import sys
import tempfile
from typing import Any

import numpy as np
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from aevlp import DampSettings, ScoreCache, Targets, create_loss, mean_average_precision, open_cache, split_train_val

EPOCHS, BATCH = 10, 32


class Linear(torch.nn.Module):
    """The classifier; take any model that gives logits of the images in their place."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head = torch.nn.Linear(width, classes)

    def forward(self, features: torch.Tensor, **_: Any) -> dict[str, torch.Tensor]:
        return {"logits": self.head(features)}


class CachedRows(torch.utils.data.Dataset):
    """What a model and a loss read of some rows of a cache."""

    def __init__(self, cache: ScoreCache, rows: np.ndarray, pseudo: np.ndarray) -> None:
        self.features = torch.from_numpy(cache.embedding(rows)[:, 0])
        self.observed, self.pseudo = (torch.from_numpy(codes[rows]) for codes in (cache.observed, pseudo))
        truth = cache.observed if cache.truth is None else cache.truth
        self.labels = torch.from_numpy(truth[rows])

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, n: int) -> dict[str, torch.Tensor]:
        return {name: getattr(self, name)[n] for name in ("features", "observed", "pseudo", "labels")}


class SingleLabelTrainer(Trainer):
    """A Trainer whose loss is one of aevlp's."""

    def __init__(self, own_loss: Any, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.own_loss = own_loss

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, *_: Any, **__: Any) -> Any:
        outputs = model(features=inputs["features"])
        value = self.own_loss(outputs["logits"], Targets(observed=inputs["observed"], pseudo=inputs["pseudo"]))
        return (value, outputs) if return_outputs else value


class TellTheEpoch(TrainerCallback):
    """Tells a loss with a schedule which epoch begins."""

    def __init__(self, own_loss: Any) -> None:
        self.own_loss = own_loss

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.own_loss.set_epoch(int(state.epoch or 0) + 1, EPOCHS)


def main(path: str, name: str) -> None:
    """Train on a cache with a loss of `aevlp losses` that reads labels alone, and print the last validation mAP."""
    cache = open_cache(path)
    method = {key: value for key, value in cache.provenance["method"].items() if key != "grid"}
    codes = cache.codes(DampSettings(**method))
    usable = np.flatnonzero((cache.split == "train") & (cache.status == "ok"))
    train, val = (CachedRows(cache, usable[part], codes) for part in split_train_val(len(usable)))
    loss = create_loss(name, len(cache.classes))
    with tempfile.TemporaryDirectory() as folder:
        trainer = SingleLabelTrainer(
            own_loss=loss,
            model=Linear(cache.header.width, len(cache.classes)),
            args=TrainingArguments(
                folder,
                num_train_epochs=EPOCHS,
                per_device_train_batch_size=BATCH,
                learning_rate=0.01,
                remove_unused_columns=False,
                label_names=["labels"],
                report_to=[],
                save_strategy="no",
                disable_tqdm=True,
                use_cpu=not torch.cuda.is_available(),
                seed=0,
            ),
            train_dataset=train,
            callbacks=[TellTheEpoch(loss)],
        )
        trainer.train()
        logits = np.asarray(trainer.predict(val).predictions)
    print(f"validation mAP {100 * mean_average_precision(logits, val.labels.numpy()):.2f}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
