"""A chart of a report -> inline SVG that follows the page's colours, or SVG and PDF files for a paper."""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter

from ...pipeline.files.atomic_write import replacing
from .section import Chart

# Colours that can be told apart with any kind of colour vision (Okabe and Ito 2008); page.css has them lighter for a dark page.
SERIES = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a7a7a", "#8c6d1f")
INK, FAINT = "#101112", "#c9cacb"  # of nothing else in a chart: the page's text, and its lines
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 3)))
SVG = "http://www.w3.org/2000/svg"
XLINK = "http://www.w3.org/1999/xlink"
_REFERENCE = re.compile(r"(?:^|url\()#([^)]+)")  # to an id: a whole attribute, or in a style
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "aevlp",  # equal charts, equal bytes
    "pdf.fonttype": 42,
    "text.parse_math": False,  # a class may be called $5_
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": False,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def colour(number: int) -> str:
    """Return the colour of a series, counted from 0."""
    return SERIES[number % len(SERIES)]


def dashes(number: int) -> str | tuple:
    """Return the line style of a series, so that lines are told apart in print too."""
    return DASHES[number % len(DASHES)]


def svg(chart: Chart) -> str:
    """Return a chart as an `<svg>` element: its text and lines in the page's colours, as wide as there is room.

    It has no id but those that it refers to itself, which begin with the chart's name, no script and no date.
    """
    text = io.StringIO()
    with _styled():
        figure = _drawn(chart)
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(text.getvalue())
    for element in root.findall(f"{{{SVG}}}metadata"):
        root.remove(element)
    _rename_ids(root, chart.name)
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    _follow_the_page(root)
    root.set("role", "img")
    root.set("aria-label", f"{chart.title}. {chart.caption}")
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def save(chart: Chart, folder: Path) -> list[Path]:
    """Write a chart as NAME.svg and NAME.pdf, black on nothing, and return both paths."""
    written = []
    for suffix, canvas in ((".svg", FigureCanvasSVG), (".pdf", FigureCanvasPdf)):
        path = folder / f"{chart.name}{suffix}"
        with _styled(), replacing(path) as temporary:
            figure = _drawn(chart)
            metadata = {"Date": None} if suffix == ".svg" else {"CreationDate": None}
            with temporary.open("wb") as file:
                canvas(figure).print_figure(file, format=suffix[1:], metadata=metadata)
        written.append(path)
    return written


def _drawn(chart: Chart) -> Figure:
    figure = Figure(figsize=chart.size, layout="constrained")
    rows, columns = chart.panels
    axes: list[Axes] = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    chart.draw(axes)
    for each in axes:
        if not each.has_data():
            each.set_axis_off()
        for axis in (each.xaxis, each.yaxis):
            if axis.get_scale() == "log":
                axis.set_major_formatter(_PlainNumbers())
                axis.set_minor_formatter(_PlainNumbers())
    return figure


class _PlainNumbers(LogFormatter):
    """Writes 20 where matplotlib's own formatter of a logarithmic axis writes the formula of 2 times 10."""

    def __call__(self, x: float, pos: int | None = None) -> str:
        return f"{x:,.10g}" if super().__call__(x, pos) else ""


@contextmanager
def _styled() -> Iterator[None]:
    """Draw in the report's style, whatever the user's own is; of a letter that no font here has, a browser knows more."""
    fonts = [logging.getLogger(f"matplotlib.{name}") for name in ("font_manager", "mathtext", "backends.backend_pdf")]
    levels = [logger.level for logger in fonts]
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        for logger in fonts:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(fonts, levels, strict=True):
                logger.setLevel(level)


def _follow_the_page(root: ElementTree.Element) -> None:
    """Give what is drawn the page's colours; a text that reads as one of them stays as it is."""
    colours = {of: f"var(--series-{number})" for number, of in enumerate(SERIES, 1)}
    colours |= {INK: "currentColor", FAINT: "var(--line)"}
    for element in root.iter():
        if style := element.get("style"):
            for own, of_page in colours.items():
                style = style.replace(own, of_page)
            element.set("style", style)


def _rename_ids(root: ElementTree.Element, name: str) -> None:
    """Give each id that something refers to a name of this chart's own, and drop all others."""
    used = {
        found for element in root.iter() for value in element.attrib.values() for found in _REFERENCE.findall(value)
    }
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", f"{name}-{own}")
        for key, value in list(element.attrib.items()):
            if _REFERENCE.search(value):
                del element.attrib[key]
                renamed = _REFERENCE.sub(lambda found: found[0].replace("#", f"#{name}-"), value)
                element.set("href" if key == f"{{{XLINK}}}href" else key, renamed)
