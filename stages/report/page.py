"""Sections of a report -> one HTML file that asks for nothing: styles, scripts, charts and pictures are in it."""

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...pipeline.files.atomic_write import replacing
from .charts import svg
from .section import Column, Explorer, Section

ASSETS = Path(__file__).parent / "page"  # importlib.resources fails in an editable installation


def write_page(path: Path, title: str, subtitle: str, sections: Sequence[Section]) -> Path:
    """Write a report, whole or not at all, in the place of an earlier one, and return its path.

    All text is escaped. Raises AevlpError where the file cannot be written.
    """
    explored = any(isinstance(block, Explorer) for section in sections for block in section.blocks)
    page = _environment().get_template("page.html")
    html = page.render(title=title, subtitle=subtitle, sections=sections, explored=explored)
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8")
    return path


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(cell=_cell, sorts_as=_sorts_as, data_url=_data_url, svg=svg)
    environment.tests.update(kind=lambda block, name: type(block).__name__ == name, numeric=_numeric)
    return environment


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else column.form.format(value)


def _sorts_as(value: Any) -> str:
    """Return by what a cell is sorted where that is not its text: a number in full; what is not known comes last."""
    return "" if value is None else repr(float(value))


def _numeric(column: Column) -> bool:
    return not any(isinstance(value, str) for value in column.values)


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"
