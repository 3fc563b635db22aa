"""The site of docs/, made by `make docs`: pages in Markdown, and a reference made of the code when it is built."""

import re
import sys
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import command_reference  # noqa: E402  beside this file
import python_reference  # noqa: E402

project = "aevlp"
html_show_copyright = False
author = "the authors of aevlp"
release = version = installed("aevlp")

extensions = ["myst_nb", "sphinx.ext.autodoc"]
exclude_patterns = ["**.ipynb_checkpoints"]
nitpicky = True  # every reference must lead somewhere
smartquotes = False  # quotes in docstrings are those of code

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
myst_update_mathjax = False
nb_execution_mode = "off"  # a test runs the notebook; what it printed is kept in it
nb_ipywidgets_js: dict[str, Any] = {}  # they would be fetched from elsewhere

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True  # as they are written, not the address of a function
python_use_unqualified_type_names = True
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "aevlp"
html_copy_source = False
html_show_sphinx = False
templates_path: list[str] = []
html_static_path = ["_static"]
html_css_files = ["wide.css"]

linkcheck_timeout = 20


def _list_pages(app: Any, page: str, source: list[str]) -> None:
    """Put the pages that a pattern finds, without their endings, in its place: a glob of Sphinx warns where it finds none."""

    def found(pattern: re.Match[str]) -> str:
        pages = (file.relative_to(HERE) for file in sorted(HERE.glob(pattern[1])) if file.suffix in (".md", ".ipynb"))
        return "\n".join(file.with_suffix("").as_posix() for file in pages)

    source[0] = re.sub(r"^\{\{ pages: (.+) \}\}$", found, source[0], flags=re.MULTILINE)


def _show_needs(app: Any, page: str, source: list[str]) -> None:
    """Show above a block what it needs, which stands there as a comment."""
    source[0] = re.sub(r"^( *)<!-- needs: (.+) -->$", r"\1*Needs \2.*\n", source[0], flags=re.MULTILINE)


def setup(app: Any) -> None:
    """Have the pages of the reference filled, and docstrings and types read as they are written here."""
    app.connect("source-read", _list_pages)
    app.connect("source-read", _show_needs)
    command_reference.setup(app)
    python_reference.setup(app)
