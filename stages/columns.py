"""Tables of figures that fit the terminal: columns that say nothing, and those that can be spared, are left out and named."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from .console import out, print_table, room


@dataclass(frozen=True, eq=False)
class Column:
    """A column of a table, as text.

    spare: 0 for one that is always shown; of the others the highest is left out first where there is no room. varies: False for
    one that is shown even if all its cells are equal. right: whether it is set to the right, as figures are.
    """

    header: str
    cells: Sequence[str]
    spare: int = 0
    varies: bool = True
    right: bool = True


def show_columns(title: str, columns: Sequence[Column], where: str) -> list[Column]:
    """Print a table of at least one row in the room there is, if spare columns allow it; return the columns that it has.

    What all rows have in common stands in a line below, and so do the names of what had no room. where: what holds them.
    """
    shown, dropped = fitting(columns)
    left = [column for column in columns if column not in (*shown, *dropped)]
    common = [f"{_flat(c.header)} {c.cells[0]}" for c in left if c.cells[0] not in ("", "-")]
    rows = list(zip(*(column.cells for column in shown), strict=True))
    right = [n for n, column in enumerate(shown) if column.right]
    print_table(title, [column.header for column in shown], rows, right)
    if common:
        out.print(f"the same for all: {' · '.join(common)}")
    if dropped:
        show_spared([column.header for column in columns if column in dropped], where)
    return shown


def show_spared(headers: Sequence[str], where: str) -> None:
    """Print which columns had no room; where: what holds them."""
    out.print(f"no room for {', '.join(map(_flat, headers))}: {where}")


def fitting(columns: Sequence[Column]) -> tuple[list[Column], list[Column]]:
    """Return the columns that there is room for, and those that there is none for; what all rows share is in neither."""
    width = room()
    shown = [column for column in columns if _says_something(column)]
    dropped: list[Column] = []
    while _width(shown) > width and (spare := max(shown, key=lambda column: column.spare)).spare:
        shown.remove(spare)
        dropped.append(spare)
    return shown, dropped


def broken(header: str) -> str:
    """Return a header with a line for each of its words, and for each part of a constant's name."""
    return header.replace("_", "_\n").replace(" ", "\n")


def percent(fraction: float | None) -> str:
    """Return a fraction as a cell of a table, in percent."""
    return "-" if fraction is None else f"{100 * fraction:.2f}"


def _says_something(column: Column) -> bool:
    return not column.varies or len(column.cells) < 2 or len(set(column.cells)) > 1


def _flat(header: str) -> str:
    return header.replace("_\n", "_").replace("\n", " ")


def _width(columns: Sequence[Column]) -> int:
    """Return how wide a table is: a space on each side of a cell, and a line before, between and after."""
    longest = (max(cell_len(line) for text in (c.header, *c.cells) for line in text.split("\n")) for c in columns)
    return sum(longest) + 3 * len(columns) + 1
