"""The report's own script in Chromium: tables that sort by a click and by keyboard, and what is folded away in print."""

from pathlib import Path

import pytest
from playwright.sync_api import Page

from aevlp.stages.report.page import write_page
from aevlp.stages.report.section import Column, Facts, Section, Table

pytestmark = [pytest.mark.browser, pytest.mark.slow]

NAMES, SHARES = ["pear", "apple", "<b>fig</b>", "zebra 10", "zebra 9"], [10.5, None, 9.25, 100.0, -1.0]


@pytest.fixture
def opened(page: Page, tmp_path: Path) -> Page:
    table = Table("fruit", [Column("class", NAMES), Column("share", SHARES, "{:.1f}", "how often")])
    blocks = [table, Facts("folded", {"a": "b"}, folded=True)]
    page.goto(write_page(tmp_path / "it's a page.html", "t", "s", [Section("one", "One", blocks)]).as_uri())
    return page


def column(page: Page, number: int) -> list[str]:
    return page.locator(f"tbody tr > :nth-child({number})").all_inner_texts()


def test_numbers_sort_highest_first_and_then_lowest_first_what_is_not_known_last(opened: Page) -> None:
    head = opened.locator("th", has_text="share")
    head.locator("button").click()
    assert column(opened, 2) == ["100.0", "10.5", "9.2", "-1.0", "-"]  # 9.25 is written 9.2, and sorted as 9.25
    assert head.get_attribute("aria-sort") == "descending"
    head.locator("button").press("Enter")
    assert column(opened, 2) == ["-1.0", "9.2", "10.5", "100.0", "-"]
    assert head.get_attribute("aria-sort") == "ascending"


def test_texts_sort_from_a_and_rows_stay_whole(opened: Page) -> None:
    opened.locator("th button", has_text="class").press("Enter")
    named = dict(zip(column(opened, 1), column(opened, 2), strict=True))
    assert list(named)[:3] == ["<b>fig</b>", "apple", "pear"]
    assert named == {"pear": "10.5", "apple": "-", "<b>fig</b>": "9.2", "zebra 10": "100.0", "zebra 9": "-1.0"}
    assert opened.locator("[aria-sort]").count() == 1


def test_what_is_folded_away_is_printed(opened: Page) -> None:
    assert opened.locator("details:not([open])").count() == 2
    opened.pdf()
    assert opened.locator("details:not([open])").count() == 0
