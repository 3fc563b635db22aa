"""A run folder as a result: what was measured, what it was trained with, and what it can do."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...pipeline.errors import AevlpError
from ...pipeline.evaluation.teachers import MULTI_FOCUS
from ...pipeline.training.run_folder import RunFolder
from ..results import Result

if TYPE_CHECKING:
    from ..prediction.predictions import Predictions
    from ..prediction.sharding import PredictedShards
    from .evaluate import Evaluation


# What figures are against -> what is said of it.
AGAINST = {
    "truth": "",
    "observed": "against observed labels: the full truth is not known",
    "pseudo-labels": "against pseudo-labels: no label is known",
}


class Run(Result):
    """A training run in a folder. All figures are read from there, mAP in [0, 1]."""

    def __init__(self, folder: Path) -> None:
        """folder: of a run; AevlpError where it is none."""
        self.folder = folder
        self._files = RunFolder(folder)
        self.settings: dict[str, Any] = self._files.settings()

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def finished(self) -> bool:
        """Whether its best weights were evaluated on the test split, if there is one: nothing is left to do."""
        return self._files.finished()

    @property
    def history(self) -> list[dict[str, Any]]:
        """A row an epoch: epoch, loss, val_map, best, seconds, waiting."""
        return [line for line in self._files.metrics() if "epoch" in line]

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights are kept, None before the first has ended."""
        kept = [line["epoch"] for line in self.history if line["best"]] or [line["epoch"] for line in self.history[:1]]
        return kept[-1] if kept else None

    @property
    def best_map(self) -> float | None:
        """The validation mAP of that epoch."""
        return next((line["val_map"] for line in self.history if line["epoch"] == self.best_epoch), None)

    @property
    def test_map(self) -> float | None:
        """The test mAP of that epoch, None where the run is not finished or has no test split."""
        return self._end.get("test_map")

    @property
    def teacher_map(self) -> float | None:
        """The mAP of CLIP without training, multi-focus, on the same images as `test_map`, or `best_map` where that is None.

        None where the full truth is not known, and of runs of before it was kept; `settings["teacher"]` has more.
        """
        return self.settings.get("teacher", {}).get("maps", {}).get(MULTI_FOCUS)

    @property
    def evaluated_by(self) -> str:
        """What its figures are against: "truth", "observed" labels where that is not known, "pseudo-labels" where none is."""
        return self._end.get("evaluated_by") or self.settings.get("evaluated_by") or "truth"

    @property
    def _end(self) -> dict[str, Any]:
        return next((line for line in self._files.metrics() if "best_epoch" in line), {})

    def summary(self) -> dict[str, Any]:
        """Return the folder, the loss and the figures there are."""
        figures = {"best mAP": self.best_map, "test mAP": self.test_map, "CLIP alone": self.teacher_map}
        return {
            "folder": self.folder,
            "loss": self.settings["loss"]["name"],
            "epochs": len(self.history),
            **{name: round(value, 4) for name, value in figures.items() if value is not None},
            **({} if self.evaluated_by == "truth" else {"against": self.evaluated_by}),
            **({} if self.finished else {"unfinished": True}),
        }

    def to_json(self) -> dict[str, Any]:
        """Return folder, settings, history and figures."""
        return {
            "folder": str(self.folder),
            "finished": self.finished,
            "best_epoch": self.best_epoch,
            "best_map": self.best_map,
            "test_map": self.test_map,
            "teacher_map": self.teacher_map,
            "evaluated_by": self.evaluated_by,
            "history": self.history,
            "settings": self.settings,
        }

    def evaluate(self, split: Any = "test", **options: Any) -> "Evaluation":
        """Return `aevlp.evaluate` of this run."""
        from .evaluate import evaluate

        return evaluate(self.folder, split=split, **options)

    def predict(self, images: str | Path | Sequence[str | Path], **options: Any) -> "Predictions | PredictedShards":
        """Return `aevlp.predict` of this run."""
        from ..prediction.predict import predict

        given = [images] if isinstance(images, str | Path) else images
        return predict(self.folder, [str(image) for image in given], **options)


def open_run(folder: str | Path) -> Run:
    """Return the run in a folder; AevlpError where there is none."""
    try:
        return Run(Path(folder))
    except TypeError:
        raise AevlpError(f"expected the folder of a run, found {folder!r}") from None
