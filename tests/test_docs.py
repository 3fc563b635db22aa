"""The tables of docs/losses.md and the README's counts are those of the code."""

import re
from pathlib import Path

from aevlp.pipeline import losses, policies

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")


def rows(title: str) -> dict[str, list[str]]:
    """Return the rows of the first table below a heading: the first cell -> all cells."""
    section = TEXT.split(f"## {title}\n")[1].split("\n## ")[0]
    table = section[section.index("|---") :].split("\n\n")[0].splitlines()[1:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
    return {row[0].strip("`"): row for row in cells}


def test_every_loss_has_its_row() -> None:
    table = rows("Losses")
    assert list(table) == losses.loss_names()
    for name, entry in losses.TABLE.items():
        _, paper, reads, state, constants, file = table[name]
        assert (paper, reads, state) == (f"{entry.paper} {entry.year}", ", ".join(entry.reads), entry.state)
        assert set(re.findall(r"`(\w+)`", constants)) == set(losses.constants(name)) - {"compat"}
        assert file == f"`{entry.module}.py`"
        assert entry.title in TEXT


def test_every_policy_has_its_row() -> None:
    table = rows("Policies")
    assert list(table) == policies.policy_names()
    for name, entry in policies.TABLE.items():
        _, paper, what, *constants = table[name]
        assert paper == (f"{entry.paper} {entry.year}" if entry.year else "-")
        assert what == entry.what
        assert set(re.findall(r"`(\w+)`", " ".join(constants))) == set(policies.constants(name)) - {"compat", "half"}


def test_the_readme_counts_right_and_leads_to_the_loss_of_ones_own() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"{len(losses.TABLE)} losses, {len(policies.TABLE)} policies" in readme
    assert "my_losses:Focal" in readme and "(docs/own_loss.md)" in readme  # tests/test_own_loss.py runs that page
