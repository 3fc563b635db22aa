"""The fixture for tests of pages sees what a page must not do."""

from pathlib import Path

import browser
import pytest
from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser


def test_a_page_without_a_fault_has_none(page: Page, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<img src='data:,' alt=''><script>console.log('fine')</script>")
    faults = browser.watched(page)
    page.goto((tmp_path / "page.html").as_uri())
    assert faults == []


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("<script>console.error('bad')</script>", "console: bad"),
        ("<script>undefined.x</script>", "error: Cannot read properties of undefined"),
        ("<img src='http://example.invalid/a.png' alt=''>", "request: http://example.invalid/a.png"),
        ("<script src='beside.js'></script>", "request: file://"),
        ("<script>fetch('https://example.invalid/').catch(() => 0)</script>", "request: https://example.invalid/"),
    ],
)
def test_a_fault_of_a_page_is_seen(chromium: Browser, tmp_path: Path, content: str, fault: str) -> None:
    (tmp_path / "page.html").write_text(content)
    opened = chromium.new_page()
    faults = browser.watched(opened)
    opened.goto((tmp_path / "page.html").as_uri())
    opened.close()
    assert any(found.startswith(fault) for found in faults), faults


def test_without_chromium_the_test_is_skipped_and_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="apt install chromium"):
        browser.chromium_program()
    monkeypatch.setenv("CHROMIUM", "/opt/own/chromium")
    assert browser.chromium_program() == "/opt/own/chromium"
