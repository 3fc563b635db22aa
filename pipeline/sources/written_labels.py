"""A table as `aevlp labels` writes it <-> the keys of the entry that reads it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from ..datasets.label_cells import parsed
from ..errors import AevlpError
from ..labels.label_words import BLANK, word

OBSERVED, PSEUDO, CORRECTED = "observed", "pseudo", "corrected"  # where a label is from
RowOf = Literal["label", "image"]
COLUMNS: dict[RowOf, tuple[str, ...]] = {
    "label": ("image", "label", "score", "source", "split"),
    "image": ("image", "labels", "scores", "sources", "split"),
}
SEPARATORS = (";", "|", ",", "/", "\t", "~", "^", "¦")


def rows_of(cells: Mapping[str, Sequence[Any]]) -> RowOf | None:
    """Return what each row of a table is of, where it has the columns and sources of such a table; None for any other."""
    for of, columns in COLUMNS.items():
        if set(cells) == set(columns) and all(map(_are_sources, cells[columns[3]])):
            return of
    return None


def reading_keys(of: RowOf, texts: Iterable[str]) -> dict[str, Any]:
    """Return the keys that read such a table. texts: the class names, or the cells of its column of labels."""
    image, label, *_, split = COLUMNS[of]
    keys = {
        "image_column": image,
        "label_column": label,
        "split_column": split,
        "labels": "observed",  # most are guessed, and nobody looked for the others
        "label_form": "names",
    }
    if of == "label":
        keys |= {"rows": "label", "confidence_column": None}
        if (sign := separator_for(texts)) is not None:
            keys["label_separator"] = sign
    return keys


def separator_for(texts: Iterable[str]) -> str | None:
    """Return a sign at which none of some texts is cut, so that each is read as one label; None where no sign leaves all whole.

    Then each label is written as a JSON list of one.
    """
    different = set(texts)
    return next((sign for sign in SEPARATORS if all(_is_whole(text, sign) for text in different)), None)


def _is_whole(text: str, sign: str) -> bool:
    try:
        cell = parsed(text, sign, "")
    except AevlpError:  # a text that writes an object
        return False
    return not cell.listed and cell.items in ((), (text.strip(),))


def _are_sources(cell: Any) -> bool:
    if word(cell) in BLANK:
        return True
    try:
        return all(item in (OBSERVED, PSEUDO, CORRECTED) for item in parsed(cell, None, "").items)
    except AevlpError:
        return False
