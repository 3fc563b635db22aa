"""What a report is made of: sections of text, tables and charts, which `page` writes as HTML and `figures` as files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class Text:
    """Paragraphs in plain words; no markup, all of it is escaped. warning: they are to be seen before all else."""

    paragraphs: Sequence[str]
    warning: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values, such as settings. title: of the table, which may be folded away."""

    title: str
    values: Mapping[str, str]
    folded: bool = False


@dataclass(frozen=True)
class Column:
    """A column of a table. values: numbers, texts or None, one a row; numbers are sorted as such.

    form: how a number is written, as in "{:.1f}". note: what the column is, for those who ask.
    """

    header: str
    values: Sequence[Any]
    form: str = "{}"
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table whose columns sort. caption: what it shows, in plain words."""

    caption: str
    columns: Sequence[Column]


@dataclass(frozen=True)
class Chart:
    """A chart that matplotlib draws. name: of its files. caption: what it shows, also for who cannot see it.

    draw: draws on axes (rows * columns of them, in a flat list). size: of the figure, in inches.
    """

    name: str
    title: str
    caption: str
    draw: Callable[[Sequence["Axes"]], None]
    size: tuple[float, float] = (6.0, 3.4)
    panels: tuple[int, int] = (1, 1)


@dataclass(frozen=True)
class Picture:
    """A small picture. jpeg: its bytes, empty where it cannot be shown. alt: what it is; lines: said below it."""

    jpeg: bytes
    alt: str
    lines: Sequence[str] = ()


@dataclass(frozen=True)
class Pictures:
    """Pictures beside each other. title, caption: what they have in common."""

    title: str
    caption: str
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Explorer:
    """What the sliders and the gallery work on, as JSON; the page's own script draws it."""

    data: Mapping[str, Any]


Block = Text | Facts | Table | Chart | Pictures | Explorer


@dataclass(frozen=True)
class Section:
    """A part of a report. anchor: its name in the address of the page, letters and hyphens."""

    anchor: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)
