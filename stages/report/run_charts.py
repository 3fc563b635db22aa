"""What a run measured -> charts of its training and of its probabilities."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from ..stage_two.run import Run
from .charts import colour, dashes
from .section import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 10
THRESHOLDS = np.linspace(0.02, 0.98, 49)


def curves(run: Run) -> Chart:
    """Return the loss and the validation mAP of every epoch."""
    history, teacher = run.history, run.teacher_map
    epochs = [line["epoch"] for line in history]
    best, split = run.best_epoch, run.settings.get("teacher", {}).get("split")

    def draw(axes: Sequence["Axes"]) -> None:
        loss, val = axes
        loss.plot(epochs, [line["loss"] for line in history], color=colour(1), marker="o")
        loss.set(xlabel="epoch", title="training loss")
        val.plot(epochs, [100 * line["val_map"] for line in history], color=colour(0), marker="o")
        val.axvline(best or 0, color=colour(6), linestyle=":", label=f"best, epoch {best}")
        if teacher is not None and split == "val":
            val.axhline(100 * teacher, color=colour(2), linestyle="--", label="CLIP without training")
        val.set(xlabel="epoch", title="validation mAP (%)")
        val.legend()
        for plot in axes:
            plot.grid(True)
            plot.xaxis.set_major_locator(MaxNLocator(integer=True))

    caption = "The loss on training images and the mAP on validation images. The weights of the best epoch are kept."
    return Chart("curves", "Loss and validation", caption, draw, (8, 3.2), (1, 2))


def schedules(loss: str, values: Mapping[str, Sequence[float]]) -> Chart:
    """Return what a loss changes from epoch to epoch, a panel a number."""
    columns = min(4, len(values))
    rows = -(-len(values) // columns)

    def draw(axes: Sequence["Axes"]) -> None:
        for plot, (name, of) in zip(axes, values.items(), strict=False):
            plot.plot(range(1, len(of) + 1), of, color=colour(0), marker="o")
            plot.set(title=name, xlabel="epoch")
            plot.grid(True)
            plot.xaxis.set_major_locator(MaxNLocator(integer=True))

    caption = f"What the loss {loss} changes from epoch to epoch; what each is: the method's documentation."
    return Chart("schedules", f"Schedules of {loss}", caption, draw, (2.2 * columns, 2.2 * rows), (rows, columns))


def spent(run: Run) -> Chart:
    """Return how long each epoch took, and how much of it was waiting for data."""
    history = run.history
    epochs = [line["epoch"] for line in history]
    waiting = np.array([line.get("waiting", 0.0) for line in history])
    seconds = np.array([line["seconds"] for line in history])

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        plot.bar(epochs, seconds - waiting, color=colour(0), label="training and validating")
        plot.bar(epochs, waiting, bottom=seconds - waiting, color=colour(1), label="waiting for images")
        plot.set(xlabel="epoch", ylabel="seconds")
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
        plot.legend()

    caption = (
        f"{seconds.sum():,.0f} seconds in all, {waiting.sum():,.0f} of them waiting for images. Where waiting is much "
        f"of it, more --workers or --image-cache help."
    )
    return Chart("time", "Time of each epoch", caption, draw, (6, 2.6))


def calibration(probabilities: np.ndarray, positive: np.ndarray) -> Chart:
    """Return how often classes are there, by the probability they were given (N, C), in bins of equal width."""
    share, mean, count, error = reliability(probabilities.ravel(), positive.ravel())
    filled = count > 0

    def draw(axes: Sequence["Axes"]) -> None:
        plot, sizes = axes
        plot.plot((0, 1), (0, 1), color=colour(6), linestyle=":", label="perfect")
        plot.plot(mean[filled], share[filled], color=colour(0), marker="o", label="this run")
        plot.set(xlabel="predicted probability", ylabel="share that is there", xlim=(0, 1), ylim=(0, 1))
        plot.grid(True)
        plot.legend()
        sizes.bar((np.arange(BINS) + 0.5) / BINS, count, width=0.09, color=colour(0))
        sizes.set(xlabel="predicted probability", ylabel="entries", yscale="log", xlim=(0, 1))

    caption = (
        f"Left: of all entries with about this probability, how many are there; on the dotted line a probability means "
        f"what it says, below it the classifier promises too much. The mean distance is {100 * error:.1f} % (expected "
        f"calibration error). Right: how many entries each point stands for."
    )
    return Chart("calibration", "Can its probabilities be believed", caption, draw, (8, 3.2), (1, 2))


def reliability(probabilities: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return, for `BINS` bins of equal width, the share of positives, the mean probability, the count, and the error.

    probabilities: (n,) in [0, 1]. positive: (n,) bool. Bins hold their lower end, the last one 1 too; empty ones are NaN.
    The error is the mean over entries of |share - mean| of their bin (Guo et al., ICML 2017).
    """
    of = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    count = np.bincount(of, minlength=BINS)
    with np.errstate(invalid="ignore"):
        share = np.bincount(of, positive, minlength=BINS) / count
        mean = np.bincount(of, probabilities, minlength=BINS) / count
    filled = count > 0
    return share, mean, count, float((np.abs(share - mean)[filled] * count[filled]).sum() / count.sum())


def thresholds(probabilities: np.ndarray, positive: np.ndarray) -> Chart:
    """Return F1 against the threshold, of all entries at once and as the mean of the classes."""
    overall, mean = f1_curves(probabilities, positive)

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        for number, (name, values) in enumerate((("all entries (micro)", overall), ("mean of classes (macro)", mean))):
            best = int(values.argmax())
            label = f"{name}: {100 * values[best]:.1f} % at {THRESHOLDS[best]:.2f}"
            plot.plot(THRESHOLDS, 100 * values, color=colour(number), linestyle=dashes(number), label=label)
            plot.plot(THRESHOLDS[best], 100 * values[best], "o", color=colour(number))
        plot.set(xlabel="threshold", ylabel="F1 (%)", xlim=(0, 1), ylim=(0, 100))
        plot.grid(True)
        plot.legend()

    caption = (
        "F1 of the labels whose probability is at least the threshold, on the test images; the points are the best. A threshold "
        "should be chosen on other images than those that it is judged by: take this as what is possible."
    )
    return Chart("thresholds", "Which threshold", caption, draw)


def f1_curves(probabilities: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return micro and macro F1 at each of `THRESHOLDS`, as fractions; a class without any entry counts 0."""
    micro, macro = [], []
    for threshold in THRESHOLDS:
        labelled = probabilities >= threshold
        hits, of = (labelled & positive).sum(axis=0), labelled.sum(axis=0) + positive.sum(axis=0)
        micro.append(2 * hits.sum() / max(1, of.sum()))
        macro.append((2 * hits / np.maximum(of, 1)).mean())
    return np.array(micro), np.array(macro)
