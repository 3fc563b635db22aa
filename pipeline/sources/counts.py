"""Columns of a table that count what an image shows of each class -> which those are, and the keys that read them."""

from collections.abc import Sequence
from typing import Any

from ..datasets.class_list_check import key_of
from ..datasets.column_words import NO_CLASS
from ..errors import AevlpError, some
from ..labels.label_words import ABSENT, BLANK, PRESENT, mapping_as_yaml, number, word
from .columns import Cells
from .no_labels import as_label_columns

_LARGEST = 99
_VALUES = 20  # different numbers, at most: each is written out in what is to be typed
_FEW = 0.5  # of the cells: as many at least hold 0 or 1, as few objects stand in most images


def count_columns(cells: Cells, names: Sequence[str]) -> list[str]:
    """Return the columns of small whole numbers from 0 on, [] where fewer than two are so or hardly one is above 1."""
    numbers = {name: _counts(cells[name]) for name in names if key_of(name) not in NO_CLASS}
    found = {name: values for name, values in numbers.items() if values}
    above = [value for values in found.values() for value in values if value > 1]
    several = len(found) > 1 and len(above) > 1  # a lone one is a mistake in a column of 0 and 1
    return list(found) if several and len({*above}) <= _VALUES else []


def counts(cells: Cells, names: Sequence[str], where: str) -> AevlpError:
    """Return the error for columns that count what is to be present or absent."""
    values = sorted({value for name in names for value in _counts(cells[name])})
    meaning = {str(value): PRESENT if value else ABSENT for value in values}
    return AevlpError(
        f"{where}: the columns {some(names, 4)} hold whole numbers from {values[0]} to {values[-1]}, as a count of each class "
        f"does, expected what is present or absent: where all above 0 are present, say {as_label_columns(names)} --key "
        f"'label_values: {mapping_as_yaml(meaning)}'; where a 0 does not say that the class is absent, write \"0\": unknown"
    )


def _counts(column: Sequence[Any]) -> list[int]:
    """Return the numbers in a column, [] where a cell holds anything else, or a 0 stands nowhere or large ones in most."""
    values = [number(word(value)) for value in column if word(value) not in BLANK]
    whole = [value for value in values if isinstance(value, int) and 0 <= value <= _LARGEST]
    small = sum(value < 2 for value in whole)
    return whole if len(whole) == len(values) and 0 in whole and small >= _FEW * len(whole) else []
