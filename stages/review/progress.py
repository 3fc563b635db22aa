"""How far a review is, and what a further minute of it is expected to buy."""

from collections import Counter
from dataclasses import dataclass

from ...pipeline.labels.codes import NEGATIVE, POSITIVE, UNKNOWN
from .desk import Desk

AHEAD = 20  # questions that the expectation is of
CLASSES = 40  # that are listed, those with the most answers first


@dataclass(frozen=True)
class Progress:
    """yes, no, skipped: answers that hold. classes: name, yes and no of those with most answers. minute: what the next buys.

    rate: answers a minute, None before there are some. wrong: the mean chance that the label which training uses now of the
    next questions is wrong, None where nothing is left.
    """

    yes: int
    no: int
    skipped: int
    classes: list[tuple[str, int, int]]
    rate: float | None
    wrong: float | None
    minute: str


def progress(desk: Desk) -> Progress:
    """Return how far the review at a desk is."""
    given = dict(desk.given)
    codes = Counter(given.values())
    of_class = Counter((column, code) for (_, column), code in given.items() if code != UNKNOWN)
    columns = sorted(
        {column for column, _ in of_class}, key=lambda c: (-of_class[c, POSITIVE] - of_class[c, NEGATIVE], c)
    )
    ahead = desk.open[:AHEAD]
    wrong = sum(pair.wrong for pair in ahead) / len(ahead) if ahead else None
    rate = desk.rate
    return Progress(
        codes[POSITIVE],
        codes[NEGATIVE],
        codes[UNKNOWN],
        [(desk.cache.classes[c], of_class[c, POSITIVE], of_class[c, NEGATIVE]) for c in columns[:CLASSES]],
        rate,
        wrong,
        minute(rate, wrong, len(ahead)),
    )


def minute(rate: float | None, wrong: float | None, ahead: int) -> str:
    """Return in words what a further minute is expected to buy."""
    if wrong is None:
        return "Nothing is left to ask."
    said = f"Of the next {ahead} questions, an estimated {100 * wrong:.0f} % have a wrong label now."
    if rate is None:
        return f"{said} What a minute buys is known after some answers."
    bought = _about(rate * wrong)
    return (
        f"{said} At {rate:.0f} answers a minute, a further minute should correct {bought}, while such questions last."
    )


def _about(labels: float) -> str:
    shown = f"{labels:.1f}" if labels < 3 else f"{labels:.0f}"
    return f"about {shown} labels"
