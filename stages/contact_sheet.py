"""Pictures with what is true, observed, pseudo-labelled and predicted of each -> one sheet that a person can judge."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ..pipeline.files.atomic_write import replacing
from ..pipeline.files.image_formats import MAX_PIXELS
from ..pipeline.images.read import read_image

PICTURE, TEXT, GAP, COLUMNS = 192, 250, 14, 3
INK, GREY, RIGHT, WRONG, MISSED = (25, 25, 25), (110, 110, 110), (20, 120, 50), (200, 30, 30), (190, 120, 0)


@dataclass(frozen=True)
class Card:
    """One picture, its true labels, and rows of labels by name: drawn green where true, red where not.

    truth: None where it is not known; the labels are then drawn in ink.
    """

    path: Path
    truth: frozenset[str] | None
    rows: Mapping[str, Sequence[str]]
    complete: frozenset[str] = frozenset()  # rows in which a true label that is not there is worth showing


def draw_sheet(path: Path, title: str, cards: Sequence[Card], max_pixels: int = MAX_PIXELS) -> None:
    """Write the cards as one PNG, in a grid under a title and a legend."""
    drawn = sheet(title, cards, max_pixels)
    with replacing(path) as temporary:
        drawn.save(temporary, "PNG")


def sheet(title: str, cards: Sequence[Card], max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Return the cards as one RGB picture, in a grid under a title and, where truth is known, a legend.

    max_pixels: width times height of the largest picture that is opened.
    """
    lines = -(-len(cards) // COLUMNS)
    top = 70
    page = Image.new("RGB", (GAP + COLUMNS * (PICTURE + TEXT + GAP), top + lines * (PICTURE + GAP)), "white")
    pen = ImageDraw.Draw(page)
    pen.text((GAP, 12), title, INK, ImageFont.load_default(20))
    x = GAP
    legends = ((RIGHT, "true"), (WRONG, "not true"), (MISSED, "true but missed"))
    for color, legend in legends if any(card.truth is not None for card in cards) else ():
        pen.rectangle((x, 45, x + 10, 55), color)
        pen.text((x + 16, 43), legend, INK, ImageFont.load_default(13))
        x += 40 + int(pen.textlength(legend, ImageFont.load_default(13)))
    for n, card in enumerate(cards):
        place = (GAP + n % COLUMNS * (PICTURE + TEXT + GAP), top + n // COLUMNS * (PICTURE + GAP))
        page.paste(
            read_image(card.path, max_pixels=max_pixels).resize((PICTURE, PICTURE), Image.Resampling.LANCZOS), place
        )
        _write(pen, card, place[0] + PICTURE + 8, place[1])
    return page


def _write(pen: ImageDraw.ImageDraw, card: Card, left: int, y: int) -> None:
    small, font = ImageFont.load_default(11), ImageFont.load_default(14)
    for heading, labels in card.rows.items():
        pen.text((left, y), heading, GREY, small)
        y += 14
        words = [(name, _ink(name, card.truth)) for name in labels]
        if heading in card.complete and card.truth is not None:
            words += [(name, MISSED) for name in sorted(card.truth - set(labels))]
        x = left
        for word, color in words or [("none", GREY)]:
            width = int(pen.textlength(word + "  ", font))
            if x > left and x + width > left + TEXT - 8:
                x, y = left, y + 17
            pen.text((x, y), word, color, font)
            x += width
        y += 23


def _ink(name: str, truth: frozenset[str] | None) -> tuple[int, int, int]:
    if truth is None:
        return INK
    return RIGHT if name in truth else WRONG
