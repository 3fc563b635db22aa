"""What was looked at of a cache -> charts of its scores, labels, classes and views."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import MaxNLocator

from ...pipeline.evaluation.teachers import teacher_map
from ...pipeline.labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from ...pipeline.score_cache import ScoreCache
from .charts import colour, dashes
from .section import Chart, Table, Text
from .section import Column as TableColumn
from .statistics import DRAWS, Statistics, curve, together

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CLASSES = 40  # that a chart has room for
LONGEST = 30  # letters of a class's name in a chart
BINS = 40
SCORES = (
    "Whole image: its cosines; multi-focus: DAMP's scores of all views. No observed label is read, as of images that nobody "
    "labelled."
)


def whole_beside_tiles(of: Statistics) -> Chart | Text:
    """Return how good the scores of the whole image are beside those of all views, by what is known to say so."""
    truth, observed = of.of.truth, of.of.observed
    if truth is not None and (truth == 1).any():
        return precision_recall(of, truth)
    if (observed == POSITIVE).any():
        return found_by_labels(of)
    return Text(
        ["Whole image and multi-focus cannot be compared: neither the full truth nor an observed positive is known."]
    )


def precision_recall(of: Statistics, truth: np.ndarray) -> Chart:
    """Return precision against recall of each teacher's scores, all entries in one ranking. truth: (n, C) 0/1."""
    lines = []
    for name, scores in of.teachers.items():
        label = f"{name}, mAP {100 * teacher_map(scores, truth):.1f} %"
        lines.append((label, *curve(scores.ravel(), (truth == 1).ravel())))

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        for number, (label, recall, precision) in enumerate(lines):
            plot.plot(recall, precision, color=colour(number), linestyle=dashes(number), label=label)
        plot.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        plot.grid(True)
        plot.legend(loc="best")

    caption = (
        f"Precision against recall of CLIP's scores, all entries in one ranking; further to the upper right is better. {SCORES} "
        f"mAP is the mean over classes."
    )
    return Chart("precision-recall", "Whole image beside multi-focus", caption, draw)


def found_by_labels(of: Statistics) -> Chart:
    """Return, for each teacher, what share of the observed positives is found with how many labels an image."""
    known = of.of.observed == POSITIVE
    lines = []
    for name, scores in of.teachers.items():
        found, observed_share = curve(scores.ravel(), known.ravel())
        some = observed_share > 0  # the highest scores may all be of what nobody observed
        lines.append((name, (found * known.sum() / len(known))[some] / observed_share[some], found[some]))

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        for number, (label, labels, found) in enumerate(lines):
            plot.plot(labels, 100 * found, color=colour(number), linestyle=dashes(number), label=label)
        plot.set(xlabel="labels an image", ylabel="observed positives found (%)", xscale="log", ylim=(0, 102))
        plot.grid(True)
        plot.legend(loc="best")

    caption = (
        f"The full truth is not known, so precision is not: here is what share of the observed positives is among the highest "
        f"scores, against how many labels an image those are. Higher at the same number of labels is better. {SCORES}"
    )
    return Chart("found", "Whole image beside multi-focus", caption, draw)


def histogram(of: Statistics) -> Chart:
    """Return the distribution of scores of what is true, false, or not known."""
    score, observed, truth = of.of.score, of.of.observed, of.of.truth
    if truth is not None:
        kinds = {"true": truth == 1, "false": truth != 1}
        what = "what the images show and what they do not"
    else:
        kinds = {
            "observed positive": observed == POSITIVE,
            "observed negative": observed == NEGATIVE,
            "not known": observed == UNKNOWN,
        }
        what = "what was observed and what is not known"
    edges = np.linspace(0, min(1.0, 1.05 * max(float(score.max()), of.settings.threshold)), BINS + 1)
    counts = {name: np.histogram(score[where], edges)[0] for name, where in kinds.items() if where.any()}

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        for number, (name, values) in enumerate(counts.items()):
            plot.stairs(values, edges, color=colour(number), linestyle=dashes(number), label=name, linewidth=1.6)
        plot.axvline(
            of.settings.threshold, color=colour(6), linestyle=":", label=f"threshold {of.settings.threshold:g}"
        )
        plot.set(xlabel="score", ylabel="entries", yscale="log", xlim=(0, edges[-1]))
        plot.grid(True)
        plot.legend()

    caption = (
        f"Scores of {what}, an entry for each image and class; the number of entries is on a logarithmic scale. The "
        f"less the lines overlap, the better the scores tell them apart. Right of the dotted line an entry can become positive."
    )
    return Chart("scores", "Scores", caption, draw)


def positives_an_image(of: Statistics, expected: float | None) -> Chart:
    """Return how many positives images have: observed, with pseudo-labels, true; beside what is expected."""
    kinds = {"observed": of.of.observed == POSITIVE, "with pseudo-labels": of.used == POSITIVE}
    if of.of.truth is not None:
        kinds["true"] = of.of.truth == 1
    counts = {name: labels.sum(axis=1) for name, labels in kinds.items()}
    most = max(int(values.max(initial=0)) for values in counts.values())
    shares = {name: np.bincount(values, minlength=most + 1) / len(values) for name, values in counts.items()}
    means = {name: float(values.mean()) for name, values in counts.items()}

    def draw(axes: Sequence["Axes"]) -> None:
        [plot] = axes
        for number, (name, values) in enumerate(shares.items()):
            plot.plot(
                range(most + 1), 100 * values, marker="osD"[number], color=colour(number), linestyle=dashes(number),
                label=f"{name}, {means[name]:.2f} an image",
            )  # fmt: skip
        if expected is not None:
            plot.axvline(expected, color=colour(6), linestyle=":", label=f"expected, {expected:g} an image")
        plot.xaxis.set_major_locator(MaxNLocator(integer=True))
        plot.set(xlabel="positives an image", ylabel="images (%)", ylim=(0, None))
        plot.grid(True)
        plot.legend()

    said = "" if expected is None else " The dotted line is what the manifest expects."
    caption = "How many classes images are labelled with."
    if "true" in kinds:
        caption += " Pseudo-labels are good where their line is near the true one."
    caption += said
    return Chart("positives", "Positives an image", caption, draw)


def co_occurrence(cache: ScoreCache, of: Statistics) -> list[Chart]:
    """Return which classes stand together, by the labels that a training sees, and by the truth where it is known."""
    some, said = _some(of)
    if len(some) < 2:
        return []
    matrices = {"labels": together(of.used[:, some])}
    if of.of.truth is not None:
        matrices["truth"] = together(of.of.truth[:, some])
    names = [_short(cache.classes[c]) for c in some]

    for values in matrices.values():
        np.fill_diagonal(values, np.nan)
    brightest = max(
        0.01, *(float(np.nanmax(values)) for values in matrices.values())
    )  # one scale, to be compared by eye

    def draw(axes: Sequence["Axes"]) -> None:
        for number, (plot, (title, values)) in enumerate(zip(axes, matrices.items(), strict=True)):
            plot.imshow(100 * values, cmap="cividis", vmin=0, vmax=100 * brightest, aspect="auto")
            plot.set_title(title)
            plot.set_xticks(range(len(names)), names, rotation=90, fontsize=_font(names))
            plot.set_yticks(range(len(names)), names if not number else [""] * len(names), fontsize=_font(names))
        axes[0].figure.colorbar(axes[0].images[0], ax=list(axes), shrink=0.8, label="%")

    longest = max(map(len, names))
    height = max(1.8, 0.14 * len(names) + 0.9) + 0.075 * longest  # the names below it take room too
    caption = (
        f"Of the images with the class of a row, the percentage that has the class of a column too{said}, by the labels that a "
        f"training sees"
    )
    if len(matrices) > 1:
        caption += (
            " on the left and by the truth on the right: a pair that is much brighter left is one that CLIP confuses"
        )
    caption += "."
    size = (3.6 * len(matrices) + 1.2, height)
    return [Chart("together", "Classes that stand together", caption, draw, size, (1, len(matrices)))]


def agreement(cache: ScoreCache, of: Statistics) -> list[Chart | Text]:
    """Return how often tiles agree with the whole image, and which pseudo-positives the tiles bring."""
    if cache.header.views < 2:
        return [Text(["Each image has a single view: there are no tiles that could agree or differ."])]
    some, said = _some(of)
    names, whole, tiles = [_short(cache.classes[c]) for c in some], of.whole[some], of.tiles[some]

    def draw(axes: Sequence["Axes"]) -> None:
        views, classes = axes
        places = np.arange(1, cache.header.views)
        views.bar(places, 100 * of.agreement, color=colour(0))
        views.set(xlabel="tile", ylabel="images (%)", ylim=(0, 100), title="same first class as the whole image")
        if len(places) <= 16:
            views.set_xticks(places)
        rows = np.arange(len(names))[::-1]
        classes.barh(rows, whole, color=colour(0), label="whole image too")
        classes.barh(rows, tiles, left=whole, color=colour(1), label="tiles alone")
        classes.set_yticks(rows, names, fontsize=_font(names))
        classes.set(xlabel="pseudo-positives", ylim=(-1, len(names)))
        classes.legend()

    caption = (
        f"Left: how often the most likely class of a tile is that of the whole image; tiles that always agree add "
        f"nothing. Right: the pseudo-positives of each class, by whether the whole image alone gives them{said}."
    )
    return [Chart("agreement", "Do the views agree", caption, draw, (8.4, 2.4 + 0.12 * len(names)), (1, 2))]


def stability(cache: ScoreCache, of: Statistics) -> list[Table | Text]:
    """Return how often codes change when flips are drawn, as in the epochs of a training."""
    if of.changes is None:
        return [Text(["The cache holds no mirror images: labels are the same in every epoch."])]
    order = np.argsort(-of.changes, kind="stable")
    caption = (
        f"How often the label of an entry changes when each view's flip is drawn anew, as in every epoch of a training: "
        f"{100 * of.changes.mean():.2f} % of all entries, of {of.redrawn:,} images over {DRAWS} draws. Classes that "
        f"change most are near a threshold."
    )
    columns = [
        TableColumn("class", [cache.classes[c] for c in order]),
        TableColumn("changes (%)", (100 * of.changes[order]).tolist(), "{:.2f}"),
    ]
    return [Table(caption, columns)]


def _some(of: Statistics) -> tuple[np.ndarray, str]:
    """Return the columns that a chart has room for, the most frequent classes, in their own order; and what to say of that."""
    every = of.of.by_frequency
    said = f", of the {CLASSES} most frequent of {len(every):,} classes" if len(every) > CLASSES else ""
    return np.sort(every[:CLASSES]), said


def _short(name: str) -> str:
    """Return a class's name as a chart has room for it."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _font(names: Sequence[str]) -> float:
    return 8 if len(names) <= 24 else 6
