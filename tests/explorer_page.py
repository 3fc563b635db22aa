"""A page with an explorer alone, as a report has it: no more around it than its own template needs."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import aevlp.stages.report
from aevlp.stages.report.section import Explorer, Section

PAGE = Path(next(iter(aevlp.stages.report.__path__))) / "page"
FRAME = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<title>{{ title }}</title>
<style>:root { color-scheme: light dark } body { font: 16px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 0 auto;
padding: 1rem } @media (prefers-color-scheme: dark) { body { background: #14181e; color: #e6eaf0 } }</style></head>
<body><main><h1>Report</h1><h2>{{ title }}</h2>
{% for text in texts %}<p>{{ text }}</p>{% endfor %}
{% include "explorer.html" %}</main>
<script>{% include "damp.js" %}</script>
<script>{% include "explorer.js" %}</script></body></html>
"""


def explorer_page(section: Section) -> str:
    """Return the page of a section that `explorer_section` made."""
    around = Environment(autoescape=True, undefined=StrictUndefined, loader=FileSystemLoader(PAGE))
    text, block = section.blocks
    assert isinstance(block, Explorer)
    return around.from_string(FRAME).render(title=section.title, texts=text.paragraphs, block=block)  # type: ignore[union-attr]
