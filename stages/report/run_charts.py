"""What a run measured -> charts of its training and of its probabilities."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from ...pipeline.evaluation.decision import Decision
from ...pipeline.evaluation.metrics import Reliability, f1_scores, reliability
from ..stage_two.run import Run
from .charts import colour, dashes
from .section import Chart

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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


def calibration(plain: np.ndarray, calibrated: np.ndarray, positive: np.ndarray) -> Chart:
    """Return how often classes are there, by the probability they were given (N, C), before calibration and after it.

    Where both are the same, that is said.
    """
    before, after = (reliability(of.ravel(), positive.ravel()) for of in (plain, calibrated))
    same = bool((plain == calibrated).all())

    def draw(axes: Sequence["Axes"]) -> None:
        plot, sizes = axes
        plot.plot((0, 1), (0, 1), color=colour(6), linestyle=":", label="perfect")
        if not same:
            plot.plot(
                *_points(before),
                color=colour(1),
                linestyle=dashes(1),
                marker="D",
                markerfacecolor="none",
                label="before",
            )
        plot.plot(*_points(after), color=colour(0), marker="o", label="this run" if same else "calibrated")
        plot.set(xlabel="predicted probability", ylabel="share that is there", xlim=(0, 1), ylim=(0, 1))
        plot.grid(True)
        plot.legend()
        sizes.bar((np.arange(len(after.count)) + 0.5) / len(after.count), after.count, width=0.09, color=colour(0))
        sizes.set(xlabel="predicted probability", ylabel="entries", yscale="log", xlim=(0, 1))

    was = (
        "Probabilities are as the classifier gives them"
        if same
        else f"Before calibration it was {100 * before.error:.1f} %"
    )
    caption = (
        f"Left: of all entries with about this probability, how many are there; on the dotted line a probability means "
        f"what it says, below it the classifier promises too much. The mean distance is {100 * after.error:.1f} % (expected "
        f"calibration error). {was}. Right: how many entries each point stands for."
    )
    return Chart("calibration", "Can its probabilities be believed", caption, draw, (8, 3.2), (1, 2))


def _points(of: Reliability) -> tuple[np.ndarray, np.ndarray]:
    filled = of.count > 0
    return of.mean[filled], of.share[filled]


def thresholds(probabilities: np.ndarray, positive: np.ndarray, decision: Decision) -> Chart:
    """Return F1 against one threshold, of all entries at once and as the mean of the classes, beside that of the run's own."""
    overall, mean = f1_curves(probabilities, positive)
    own = f1_scores(decision.labels(probabilities), positive).mean_f1

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        for number, (name, values) in enumerate((("all entries (micro)", overall), ("mean of classes (macro)", mean))):
            best = int(values.argmax())
            label = f"{name}: {100 * values[best]:.1f} % at {THRESHOLDS[best]:.2f}"
            plot.plot(THRESHOLDS, 100 * values, color=colour(number), linestyle=dashes(number), label=label)
            plot.plot(THRESHOLDS[best], 100 * values[best], "o", color=colour(number))
        label = f"thresholds of this run (macro): {100 * own:.1f} %"
        plot.axhline(100 * own, color=colour(2), linestyle=dashes(2), label=label)
        plot.set(xlabel="threshold", ylabel="F1 (%)", xlim=(0, 1), ylim=(0, 100))
        plot.grid(True)
        plot.legend()

    caption = (
        f"F1 of the labels whose probability is at least the threshold, on the test images; the points are the best that one "
        f"threshold for all classes can reach there. The run's own, one a class, were {chosen(decision)}."
    )
    return Chart("thresholds", "Thresholds", caption, draw)


def chosen(decision: Decision) -> str:
    """Return how a run's thresholds were chosen, to follow "were"."""
    about = decision.about
    if "images" not in about:
        return "not chosen: one half for all"
    return f"chosen for {about['rule']} on {about['images']:,} validation images{decision.by}"


def f1_curves(probabilities: np.ndarray, positive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return micro and macro F1 at each of `THRESHOLDS`, as fractions; a class without any entry counts 0."""
    micro, macro = [], []
    for threshold in THRESHOLDS:
        labelled = probabilities >= threshold
        hits, of = (labelled & positive).sum(axis=0), labelled.sum(axis=0) + positive.sum(axis=0)
        micro.append(2 * hits.sum() / max(1, of.sum()))
        macro.append((2 * hits / np.maximum(of, 1)).mean())
    return np.array(micro), np.array(macro)
