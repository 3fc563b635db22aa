"""A headless Chromium for tests of pages. A test that takes the fixture `page` is marked `browser`.

It runs while the tests of a file do, not for the whole session: Playwright keeps an event loop and threads, which the tests of
other files that fork should not inherit.
"""

import os
import shutil
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Request, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OWN = ("data", "blob", "about")
DESKTOP, PHONE = (1280, 800), (390, 844)


def chromium_program() -> str:
    """Return the path of Chromium: $CHROMIUM, or what the PATH has; where there is none the test is skipped, and says why."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("no Chromium: install it (Debian: apt install chromium), or name one in $CHROMIUM")
    return found


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium without a window, as long as the tests of one file run."""
    program = chromium_program()
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []  # Chromium's sandbox refuses root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """An empty page, 1,280 pixels wide; the test fails for an error in it and for a request to anywhere but its own server."""
    opened = chromium.new_page(viewport={"width": DESKTOP[0], "height": DESKTOP[1]})
    faults = watched(opened)
    yield opened
    opened.close()
    assert not faults, faults


def watched(page: Page) -> list[str]:
    """Return a list that grows by the errors of a page, and by its requests to anywhere but its own server.

    A page that is opened as a file has no server: all that it asks for must be within it.
    """
    faults: list[str] = []

    def asked(request: Request) -> None:
        to, whole = urlsplit(request.url), request.is_navigation_request() and request.frame == page.main_frame
        at_home = to.netloc and to.netloc == urlsplit(page.url).netloc
        if not (whole or at_home or to.scheme in OWN):
            faults.append(f"request: {request.url}")

    page.on("console", lambda message: faults.append(f"console: {message.text}") if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(f"error: {error}"))
    page.on("request", asked)
    return faults
