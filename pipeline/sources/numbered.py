"""Labels that are numbers -> what they count, in words, where nobody gave them names."""

from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

from ..datasets.label_cells import parsed
from ..errors import AevlpError, some
from ..labels.label_words import BLANK, number, word


def numbers_in(column: Sequence[Any], place: str) -> list[list[str]]:
    """Return the numbers in each cell that holds any; [] where a cell holds something else too."""
    found = []
    for value in column:
        if word(value) in BLANK:
            continue
        items = " ".join(str(word(item)) for item in parsed(value, None, place).items)
        parts = items.replace(",", " ").replace(";", " ").replace("|", " ").split()
        if any(number(part) is None for part in parts):
            return []
        found.append(parts)
    return found


def are_fractions(cells: Sequence[Sequence[str]]) -> bool:
    """Return whether each cell is one number, and some are none that counts classes, as in a column of probabilities."""
    return all(len(parts) == 1 for parts in cells) and any(isinstance(number(parts[0]), float) for parts in cells)


def column_of_names(numbers: Sequence[Any], others: Mapping[str, Sequence[Any]]) -> str | None:
    """Return the column that has one name for each number, and another for another; None where none of `others` has."""
    keys = [word(value) for value in numbers]
    for name, column in others.items():
        texts = [value.strip() if isinstance(value, str) else "" for value in column]
        pairs = set(zip(keys, texts, strict=True))
        known = {text for _, text in pairs}
        if len(pairs) == len(known) == len(set(keys)) > 1 and all(t and number(t) is None for t in known):
            return name
    return None


def named_beside(cells: Sequence[Sequence[str]], column: str, place: str) -> AevlpError:
    """Return the error for labels that are numbers, beside a column that has their names."""
    shown = list(dict.fromkeys(part for parts in cells for part in parts))
    return AevlpError(
        f"{place}: the labels are numbers ({some(shown, 4)}), and the column {column} has a name for each, expected names: say "
        f"--label-column {quote(column)}, or name the numbers, in order, as --classes"
    )


def no_names(cells: Sequence[Sequence[str]], place: str) -> AevlpError:
    """Return the error for labels that are numbers, of which nobody gave the names."""
    shown = list(dict.fromkeys(part for parts in cells for part in parts))
    text = f"{place}: the labels are numbers ({some(shown, 4)}) without names, expected names: list them in order"
    widths = {len(parts) for parts in cells}
    if len(widths) == 1 and (width := widths.pop()) > 1 and {*shown} <= {"0", "1", "-1"}:
        return AevlpError(f"{text}, one for each of the {width} values, as --classes cat,dog,… or a file of them")
    counted = [value for part in shown if isinstance(value := number(part), int)]
    if not counted or min(counted) < 0:
        return AevlpError(f"{text}, from number 0 on, as --classes cat,dog,… or a file of them")
    text += f", one for each number from 0 to {max(counted)}, as --classes cat,dog,… or a file of them"
    return AevlpError(text + ("; where yours count from 1, write names in their place" if min(counted) == 1 else ""))
