"""A table in which no column is certain to hold labels -> what its columns may be, and the options that say it."""

import re
from collections.abc import Sequence
from shlex import quote
from typing import Any

from ..datasets.class_list_check import key_of
from ..datasets.column_words import NO_CLASS
from ..datasets.presence import decimal_comma, pairs_of
from ..errors import AevlpError, some
from ..labels.label_words import ABSENT, BLANK, MEANING, PRESENT, UNKNOWN, as_yaml, mapping_as_yaml, number, word
from .columns import Cells

_NUMBERED = re.compile(r"(.*?)[\s_.-]*\d*")
_NAMED = 12  # columns that are written out; more are to be listed in a manifest
_FEW = 0.5  # of the cells: as many different texts may a column have that shares some with another


def no_labels(cells: Cells, taken: set[str], where: str, rows: Sequence[str]) -> AevlpError:
    """Return the error for a table without a column of labels. taken: the image's and the split's. rows: where each stands."""
    rest = [name for name in cells if name not in taken]
    if not rest:
        both = "the images' and the splits'" if len(cells) > 1 else "the images'"
        return AevlpError(
            f"{where}: the table has no column but {both} ({some(list(cells), 4)}), expected one of labels: for images without "
            f"labels pass their folder as SOURCE, and --classes"
        )
    if commas := with_commas(cells, rest, rows):
        return commas
    if one_each := [name for name in rest if key_of(name) not in NO_CLASS and _says_presence(cells[name])]:
        return _of_classes(cells, one_each, where)
    if several := alike(cells, rest):
        return in_several(several, where)
    found = f"no column is named as labels are, and none can only be of a class (beside the images there are {some(rest, 8)})"
    alone = "; it alone is read for labels" if len(rest) > 1 else ""
    return AevlpError(
        f"{where}: {found}, expected a column of labels: say which as --label-column {quote(rest[0])}{alone}"
    )


def with_commas(cells: Cells, names: Sequence[str], rows: Sequence[str], ways: str = "") -> AevlpError | None:
    """Return the error for columns of numbers from 0 to 1 with decimal commas, None where none of `names` is one.

    ways: what else may be meant, and how it is said.
    """
    for name in names:
        values = [(row, value) for row, value in zip(rows, cells[name], strict=True) if word(value) not in BLANK]
        odd = [(row, value, text) for row, value in values if (text := decimal_comma(value)) is not None]
        if odd and all(decimal_comma(value) or _is_fraction(value) for _, value in values):
            row, value, text = odd[0]
            return AevlpError(
                f"{row}: the column {name} holds {value!r}, a number with a decimal comma: write {text}, and all others so, with "
                f"a point{ways}"
            )
    return None


def in_several(names: Sequence[str], where: str) -> AevlpError:
    """Return the error for columns that may hold the labels of an image together."""
    return AevlpError(
        f"{where}: the columns {' and '.join(names[:4])} may all hold labels, and one column of labels is read: write the labels "
        f"of each row into one, as 'cat;dog'; or, where {quote(names[0])} alone holds labels, say --label-column "
        f"{quote(names[0])}, the others are then not read"
    )


def alike(cells: Cells, names: Sequence[str], own: str | None = None) -> list[str]:
    """Return the columns of texts whose names are alike but for a number, or whose texts are partly the same; [] for none.

    own: one that has to be among them, by its name.
    """
    texts = {name: _texts(cells[name]) for name in names}
    stems = {name: key_of(_NUMBERED.sub(r"\1", name)).removesuffix("s") for name in names if texts[name] or name == own}
    for name, stem in stems.items():
        several = [other for other in stems if stems[other] == stem and stem]
        if len(several) > 1 and own in (None, name):
            return several
    if own is not None:
        return []
    listed = {name: found for name, found in texts.items() if found and len(found) <= _FEW * len(cells[name])}
    for found in listed.values():
        several = [other for other in listed if listed[other] & found]
        if len(several) > 1:
            return several
    return []


def as_label_columns(names: Sequence[str]) -> str:
    """Return the option that says which columns are of a class each."""
    if len(names) > _NAMED:
        return "the names of these columns as `label_columns` in a manifest, or as --key 'label_columns: [cat, dog]'"
    return f"--key 'label_columns: {as_yaml(names)}'"


def _texts(column: Sequence[Any]) -> set[str]:
    """Return the different texts in a column, none where a cell is a number or no text."""
    values = [value for value in column if word(value) not in BLANK]
    texts = {value.strip().casefold() for value in values if isinstance(value, str) and number(value) is None}
    return texts if all(isinstance(value, str) and number(value) is None for value in values) else set()


def _says_presence(column: Sequence[Any]) -> bool:
    words = {word(value) for value in column} - {*BLANK}
    telling = any(MEANING.get(text) != UNKNOWN for text in words)
    return telling and all(text in MEANING or pairs_of([text]) or _is_fraction(text) for text in words)


def _is_fraction(value: Any) -> bool:
    found = number(word(value))
    return found is not None and 0 <= found <= 1


def _of_classes(cells: Cells, names: Sequence[str], where: str) -> AevlpError:
    """Return the error for columns of words such as yes and no, or of probabilities, which is what is to be typed."""
    words = dict.fromkeys(word(value) for name in names for value in cells[name])
    said = f"the columns {' and '.join(names[:4])}{' …' * (len(names) > 4)} may each be of a class"
    said = said if len(names) > 1 else f"the column {names[0]} may be of a class"
    columns = as_label_columns(names)
    if any(_is_fraction(text) and text not in ("0", "1") for text in words):
        return AevlpError(
            f"{where}: {said}, and hold probabilities: say {columns} --key 'label_threshold: 0.5', or from where on a class is "
            f"present"
        )
    meaning = {text: MEANING[text] for text in words if text in MEANING and text not in BLANK} | pairs_of(words)
    blank = ""
    if ABSENT not in meaning.values() and any(text in BLANK for text in words):
        meaning[""] = ABSENT
        blank = '; where an empty cell does not say that the class is absent, write "": unknown there'
    found = some([text or "empty" for text in words], 4)
    return AevlpError(
        f"{where}: {said}, and hold {found}: say {columns} --key 'label_values: {mapping_as_yaml(meaning)}'{blank}"
        + ("" if PRESENT in meaning.values() else ", with what is present")
    )
