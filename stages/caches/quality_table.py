"""The quality of pseudo-labels and the mAP of the scores that they are made of, beside each other."""

from collections.abc import Mapping

from ...pipeline.evaluation.metrics import PseudoLabelQuality
from ..console import print_table


def show_quality(
    judged: Mapping[str, Mapping[str, PseudoLabelQuality]], teachers: Mapping[str, Mapping[str, float]] | None = None
) -> None:
    """Print the table of qualities, in percent; teachers: the mAP of the scores behind them."""
    rows = [
        (split, name, *_cells(quality), f"{100 * value:.1f}" if value is not None else "-")
        for split, name, quality, value in beside_each_other(judged, teachers or {})
    ]
    if not rows:
        return
    header = ("split", "views", "precision", "recall", "F1", "negatives' precision", "mAP")
    title = f"Pseudo-labels on what nobody observed{', and mAP of their scores' if teachers else ''} (%)"
    shown = len(header) - (not teachers)
    print_table(title, header[:shown], [row[:shown] for row in rows], right=range(2, shown))


def _cells(q: PseudoLabelQuality | None) -> tuple[str, ...]:
    if q is None:
        return ("-",) * 4
    return (
        _percent(q.precision, q.positives),
        _percent(q.recall, q.hidden),
        _percent(q.f1, q.positives),
        _percent(q.negative_precision, q.negatives),
    )


def beside_each_other(
    quality: Mapping[str, Mapping[str, PseudoLabelQuality]], teachers: Mapping[str, Mapping[str, float]]
) -> list[tuple[str, str, PseudoLabelQuality | None, float | None]]:
    """Return split, views, the quality of pseudo-labels and the mAP of scores, None where views have only one of the two."""
    return [
        (split, name, kinds.get(name), teachers.get(split, {}).get(name))
        for split, kinds in quality.items()
        for name in dict.fromkeys([*kinds, *teachers.get(split, {})])
    ]


def _percent(ratio: float, of: int) -> str:
    return f"{100 * ratio:.1f}" if of else "-"
