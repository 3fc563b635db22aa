"""The charts of a report -> files for a paper."""

from collections.abc import Sequence
from pathlib import Path

from .charts import save
from .section import Chart, Section


def write_figures(sections: Sequence[Section], folder: Path) -> int:
    """Write each chart as NAME.svg and NAME.pdf into a folder, and return how many charts there are."""
    charts = [block for section in sections for block in section.blocks if isinstance(block, Chart)]
    for chart in charts:
        save(chart, folder)
    return len(charts)
