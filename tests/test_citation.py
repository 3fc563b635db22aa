"""CITATION.cff has what its format requires, and says the same as pyproject.toml and the README."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_what_the_format_requires_is_there() -> None:
    assert CITATION["cff-version"] == "1.2.0" and CITATION["message"]
    for work in (CITATION, *CITATION["references"]):
        assert isinstance(work["title"], str) and work["type"] and work["authors"]


@pytest.mark.parametrize(
    "author", [author for work in (CITATION, *CITATION["references"]) for author in work["authors"]]
)
def test_an_author_is_a_person_or_a_group(author: dict[str, Any]) -> None:
    assert set(author) in ({"name"}, {"given-names", "family-names"})


def test_it_says_what_the_package_says_of_itself() -> None:
    said = {key: CITATION[key] for key in ("title", "abstract", "version", "license")}
    assert said == {
        "title": PROJECT["name"],
        "abstract": PROJECT["description"],
        "version": PROJECT["version"],
        "license": PROJECT["license"],
    }


def test_the_paper_is_the_one_that_the_documentation_names() -> None:
    (paper,) = CITATION["references"]
    (number,) = re.findall(r"arXiv (\d{4}\.\d{5})\)", (ROOT / "docs" / "method.md").read_text(encoding="utf-8"))
    assert paper["url"] == f"https://arxiv.org/abs/{number}"
