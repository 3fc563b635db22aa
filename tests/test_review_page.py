"""The review page in a browser: answers by keys, undo, zoom, many at once, a reply that does not come, phone and dark."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import review_page as rp
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from browser import DESKTOP, PHONE, watched
from playwright.sync_api import Browser, Page, Route, expect

from aevlp.stages.review.serving import bound

# The server begins before the page and ends after it: a page that is still loading pictures finds errors when it is gone.
pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.usefixtures("served")]

CLASSES = ("</script><script>alert(1)</script>", 'a "quoted" & <b>long</b> name ' + "w" * 60, "קול 🐈‍⬛")
BROKEN = 39  # a row, the last that is asked about


@dataclass
class Served:
    """A review that is served. address: with the token."""

    review: rp.Review
    address: str

    def held(self) -> list[int]:
        """The answers that hold, in their order."""
        return [answer.code for answer in self.review.store.current()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache and its pictures; one of them is broken."""
    path = rp.make_cache(tmp_path_factory.mktemp("page"), rows=60, classes=CLASSES)
    (path.parent / "data" / "images" / f"image_{BROKEN:04d}.jpg").write_bytes(b"no picture")
    return path


@pytest.fixture
def served(made: Path, tmp_path: Path) -> Iterator[Served]:
    review = rp.begin(made, tmp_path)
    with bound(20000) as listening:
        door = review.door(listening.getsockname()[1])
        config = uvicorn.Config(
            review.application(door), log_config=None, lifespan="off", loop="asyncio", http="h11", ws="none"
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield Served(review, door.address)
        server.should_exit = True
        thread.join()
    review.store.close()


def opened(page: Page, served: Served) -> None:
    page.goto(served.address)
    expect(page.locator("#question")).to_contain_text("Does it show")


def shown(page: Page) -> tuple[str, str]:
    """Return the image and the class that the page asks about."""
    return page.locator("#image").inner_text(), page.locator("#question bdi").text_content() or ""


def press(page: Page, key: str) -> None:
    """Press a key and wait until the page shows another pair.

    The page is asked from here: a function that waits within the page is evaluated there again and again, which its content
    security policy forbids after the first time.
    """
    before, begun = shown(page), time.monotonic()
    page.keyboard.press(key)
    while shown(page) == before:
        assert time.monotonic() < begun + 30, f"still {before} 30 s after the key {key}"
        page.wait_for_timeout(20)


def test_answers_by_keys_are_kept_and_can_be_taken_back(page: Page, served: Served) -> None:
    opened(page, served)
    assert "token" not in page.url
    first = shown(page)
    for key in "yns":
        press(page, key)
    assert served.held() == [1, -1, 0]
    expect(page.locator("#count")).to_contain_text("2 answers (1 yes, 1 no) · 1 skipped")
    for left in ([1, -1], [1], []):
        press(page, "u")
        assert served.held() == left
    assert shown(page) == first
    expect(page.locator("#undo-one")).to_be_disabled()
    page.get_by_role("button", name="No", exact=False).first.click()
    expect(page.locator("#count")).to_contain_text("1 answer (0 yes, 1 no)")
    assert served.held() == [-1]


def test_class_names_are_text(page: Page, served: Served) -> None:
    opened(page, served)
    seen = set()
    for _ in range(8):
        seen.add(shown(page)[1])
        press(page, "s")
    assert seen == set(CLASSES)
    assert page.locator("main script, main b").count() == 0


def test_zoom_shows_the_tile_that_spoke(page: Page, served: Served) -> None:
    opened(page, served)
    expect(page.locator("#stage rect.spoke")).to_have_count(1)
    whole = page.locator("#stage img").evaluate("image => [image.naturalWidth, image.naturalHeight]")
    page.keyboard.press("z")
    expect(page.locator("#zoom")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#stage img")).to_have_js_property("naturalWidth", 32)
    expect(page.locator("#stage rect")).to_have_count(0)
    assert whole == [64, 48]
    page.keyboard.press("z")
    expect(page.locator("#stage rect.spoke")).to_have_count(1)


def test_the_next_pictures_are_loaded_before_they_are_asked_about(page: Page, served: Served) -> None:
    loaded: list[str] = []
    page.on("response", lambda reply: loaded.append(reply.url) if "/picture/large/" in reply.url else None)
    opened(page, served)
    page.wait_for_load_state("networkidle")
    row = served.review.desk.order.pairs[3].row
    assert any(address.endswith(f"/{row}") for address in loaded)


def test_an_answer_whose_reply_does_not_come_is_kept_and_sent_again(chromium: Browser, served: Served) -> None:
    context = chromium.new_context()
    page = context.new_page()  # not watched: a request that fails is an error on its console
    fates = ["no reply", "through", "never arrives"]  # of the answers, in their order

    def met(route: Route) -> None:
        fate = fates.pop(0)
        if fate == "through":
            route.continue_()
            return
        if fate == "no reply":
            route.fetch()  # it arrives, the reply does not
        route.abort()

    # Once and before the page is there: requests that follow a change of routes at once may escape the new ones.
    page.route("**/api/answer", met)
    opened(page, served)
    before = shown(page)
    page.keyboard.press("y")
    expect(page.locator("#alert")).to_contain_text("This answer is kept here until it is taken.")
    assert shown(page) == before and served.held() == [1]
    page.keyboard.press("n")  # not before the other is taken
    assert fates == ["through", "never arrives"] and shown(page) == before
    page.locator("#send-again").click()
    expect(page.locator("#alert")).to_be_hidden()
    assert shown(page) != before and len(served.review.store.latest(9)) == 1

    page.keyboard.press("n")
    expect(page.locator("#alert")).to_be_visible()
    assert not fates and served.held() == [1]
    page.close()  # with an answer that never arrived: the next page sends it
    other = context.new_page()
    opened(other, served)
    expect(other.locator("#count")).to_contain_text("2 answers (1 yes, 1 no)")
    assert served.held() == [1, -1] and other.evaluate("localStorage.length") == 0
    context.close()


def test_two_tabs_are_asked_other_pairs_and_take_back_their_own(page: Page, chromium: Browser, served: Served) -> None:
    opened(page, served)
    other = chromium.new_page()
    opened(other, served)
    assert shown(page) != shown(other)
    press(page, "y")
    press(other, "n")
    assert served.held() == [1, -1]
    press(page, "u")
    assert served.held() == [-1]
    other.close()


def test_many_at_once(page: Page, served: Served) -> None:
    opened(page, served)
    page.get_by_role("button", name="Many at once").click()
    cards = page.locator("#grid button")
    expect(cards).to_have_count(12)
    likely = int(cards.first.get_attribute("data-answer") or 0)
    cards.nth(2).click()
    cards.nth(5).focus()
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.locator("#count")).to_contain_text("12 answers")
    assert served.held() == [-likely if n in (2, 5) else likely for n in range(12)]
    assert len({answer.label for answer in served.review.store.current()}) == 1
    page.keyboard.press("u")
    expect(page.locator("#count")).to_contain_text("0 answers")
    page.locator("#class").select_option("1")
    page.locator("#likely").select_option("-1")
    expect(page.locator("#many-question bdi")).to_have_text(CLASSES[1])
    expect(page.locator("#many-question")).to_contain_text("Likely without")
    page.get_by_role("button", name="One at a time").click()
    expect(page.locator("#question")).to_contain_text("Does it show")


def test_a_picture_that_cannot_be_shown_says_why(chromium: Browser, served: Served) -> None:
    page = chromium.new_page()  # not watched: the picture's own error is one on the console
    others = [pair for pair in served.review.desk.open if pair.row != BROKEN]
    served.review.desk.answer([rp.given_of(served.review, pair.row, pair.column, 0) for pair in others])
    opened(page, served)
    expect(page.locator("#stage")).to_contain_text("The picture cannot be shown:")
    expect(page.locator("#stage")).to_contain_text("expected a picture")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_it_is_usable_on_any_screen(chromium: Browser, served: Served, scheme: str, size: tuple[int, int]) -> None:
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)  # type: ignore[arg-type]
    faults = watched(page)
    opened(page, served)
    press(page, "s")
    press(page, "y")
    page.locator("summary").click()
    for mode in ("One at a time", "Many at once"):
        page.get_by_role("button", name=mode).click()
        page.wait_for_load_state("networkidle")
        assert page.evaluate("document.documentElement.scrollWidth") <= size[0], mode
        found = Axe().run(page).response["violations"]
        assert not [
            (one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")
        ], mode
    page.close()
    assert not faults, faults
