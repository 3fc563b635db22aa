"""The page of an explorer in Chromium: it labels as Python does, follows the sliders, and says why."""

import base64
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from axe_playwright_python.sync_playwright import Axe
from browser import PHONE
from playwright.sync_api import Page, expect
from test_explorer import draw_images, made

from aevlp.pipeline.evaluation.metrics import pseudo_label_quality
from aevlp.pipeline.labels.damp import DampSettings, damp_codes, damp_scores
from aevlp.pipeline.score_cache import ScoreCache
from aevlp.stages.report.explorer import explorer_section
from aevlp.stages.report.page import ASSETS, write_page
from fakes import SETTINGS

pytestmark = [pytest.mark.browser, pytest.mark.slow]
DECODE = "(text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0)).buffer"
LABELLER = f"""(cosines, observed, images, views, classes) => {{
  const decoded = {DECODE};
  return Damp.labeller({{ cosines: new Float32Array(decoded(cosines)), observed: new Int8Array(decoded(observed)),
                          images, views, classes }});
}}"""
CODES = (
    f"([data, several]) => {{ const of = ({LABELLER})(...data); "
    "return several.map((one) => Array.from(of.labels(one).codes, (code) => '-0+'[code + 1]).join('')) }"
)
ENTRIES = (
    f"([data, settings, places]) => {{ const of = ({LABELLER})(...data); "
    "return places.map((at) => of.entry(settings, ...at)) }"
)


def packed(cosines: np.ndarray, observed: np.ndarray) -> list[Any]:
    """Return the arguments of `LABELLER`."""
    whole = [np.ascontiguousarray(cosines, "<f4"), np.ascontiguousarray(observed, np.int8)]
    return [*(base64.b64encode(values.tobytes()).decode() for values in whole), *cosines.shape]


def random_settings(random: np.random.Generator, number: int, compat: str, half: bool) -> list[DampSettings]:
    return [
        DampSettings(
            temperature=float(np.exp(random.uniform(np.log(0.005), np.log(0.5)))),
            eta=float(random.choice([0, random.uniform(0, 1)], p=[0.1, 0.9])),
            threshold=float(random.choice([0, random.uniform(0, 0.5)], p=[0.1, 0.9])),
            top_k=int(random.integers(1, 9)),
            negative_ratio=float(random.uniform(0, 1)),
            compat=compat,
            half=half,
        )
        for _ in range(number)
    ]


def wide(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Cosines from -1 to 1, half of whose probabilities are 0."""
    return random.uniform(-1, 1, shape)


def near(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Cosines as CLIP has them, close together."""
    return 0.22 + 0.04 * random.normal(size=shape)


def tied(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Cosines of which many are equal."""
    return near(random, *shape).round(2)


def unscored(random: np.random.Generator, *shape: int) -> np.ndarray:
    """Cosines of images a third of which could not be scored."""
    return np.where(random.random((shape[0], 1, 1)) < 0.3, np.nan, near(random, *shape))


@pytest.mark.parametrize(("compat", "half"), [("paper", False), ("published", True), ("paper", True)])
@pytest.mark.parametrize(
    ("drawn", "shape"),
    [
        (wide, (60, 5, 16)),
        (near, (60, 10, 30)),
        (tied, (60, 5, 12)),
        (near, (60, 1, 9)),
        (near, (20, 5, 1)),
        (unscored, (30, 5, 7)),
    ],
)
def test_every_code_is_that_of_python(
    page: Page, drawn: Callable[..., np.ndarray], shape: tuple[int, ...], compat: str, half: bool
) -> None:
    random = np.random.default_rng([shape[2], half])
    cosines = drawn(random, *shape).astype(np.float16).astype(np.float32)
    observed = random.choice([-1, 0, 1], p=[0.1, 0.8, 0.1], size=(shape[0], shape[2])).astype(np.int8)
    settings = random_settings(random, 20, compat, half)
    page.add_script_tag(path=ASSETS / "damp.js")
    found = page.evaluate(CODES, [packed(cosines, observed), list(map(dataclasses.asdict, settings))])
    for of, codes in zip(settings, found, strict=True):
        expected = damp_codes(cosines, observed, of).ravel().tolist()
        assert codes == "".join("-0+"[code + 1] for code in expected), of


def test_half_precision_is_rounded_as_numpy_does(page: Page) -> None:
    random = np.random.default_rng(0)
    values = np.concatenate(
        [
            random.normal(size=500) * 10.0 ** random.integers(-9, 6, 500),
            np.arange(-9, 9) * 2.0**-25,  # ties among the smallest
            1 + np.arange(-9, 9) * 2.0**-12,
            [0, 65504, 65519.9, 65520, -65520, 1e9],
        ]
    )
    page.add_script_tag(path=ASSETS / "damp.js")
    found = page.evaluate("(values) => values.map(Damp.half).map(String)", values.tolist())
    with np.errstate(over="ignore"):
        expected = values.astype(np.float16).astype(np.float64)
    assert np.array_equal(np.array([float(text.replace("Infinity", "inf")) for text in found]), expected)


@pytest.mark.parametrize("views", [1, 5])
def test_the_reasons_of_an_entry_are_those_of_a_slow_loop(page: Page, views: int) -> None:
    random = np.random.default_rng(views)
    cosines = near(random, 25, views, 8).astype(np.float32)
    observed = random.choice([0, 1], p=[0.8, 0.2], size=(25, 8)).astype(np.int8)
    places = [(n, c) for n in range(25) for c in range(8)]
    page.add_script_tag(path=ASSETS / "damp.js")
    for settings in random_settings(random, 4, "paper", False):
        found = page.evaluate(ENTRIES, [packed(cosines, observed), dataclasses.asdict(settings), places])
        score, ranking = damp_scores(cosines, observed, settings)
        codes = damp_codes(cosines, observed, settings)
        for (n, c), entry in zip(places, found, strict=True):
            exponentials = np.exp(cosines[n].astype(float) / settings.temperature)
            shares = exponentials / exponentials.sum(axis=1, keepdims=True)
            assert np.allclose(entry["shares"], shares[:, c], atol=1e-5)
            assert np.allclose(entry["cosines"], cosines[n, :, c])
            assert entry["code"] == codes[n, c] and np.isclose(entry["score"], score[n, c], atol=1e-6)
            assert entry["rank"] == 1 + (score[n] > score[n, c]).sum()
            assert entry["negativeRank"] == 1 + (ranking[n] < ranking[n, c]).sum()
            assert entry["negatives"] == int(settings.negative_ratio * 8)
            if views == 1:
                assert entry["spoke"] is None
                continue
            tiles, sureness = shares[1:, c], (shares[0] * observed[n]).max()
            limit = min(sureness, settings.eta)
            if abs(tiles.max() - limit) > 1e-5:
                assert entry["open"] == (tiles.max() > limit)
                assert entry["spoke"] == 1 + (tiles.argmax() if entry["open"] else tiles.argmin())
            assert np.isclose(entry["limit"], limit, atol=1e-5)


@pytest.fixture
def cache(tmp_path: Path) -> ScoreCache:
    found = made(tmp_path, rows=60, classes=6, bad=0)
    draw_images(found, tmp_path)
    return found


def opened(page: Page, cache: ScoreCache, root: Path | None) -> None:
    path = cache.path.with_suffix(".html")
    page.goto(write_page(path, "Report", "of a test", [explorer_section(cache, root)]).absolute().as_uri())
    page.wait_for_selector(".explorer[data-ready]", state="attached")


def moved(page: Page, name: str, share: float) -> None:
    """Move a slider to a share of its range, and wait until the page is drawn."""
    page.locator(f"input[name={name}]").evaluate(
        "(input, share) => { input.value = Number(input.min) + share * (input.max - input.min);"
        " input.dispatchEvent(new Event('input')); return new Promise(requestAnimationFrame) }",
        share,
    )


def line(page: Page) -> dict[str, Any]:
    return yaml.safe_load(page.locator(".manifest-line").inner_text())["damp"]


def figure(page: Page, name: str) -> float:
    text = page.locator(f"[data-figure={name}] .value").inner_text()
    return float("nan") if text == "-" else float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)


def test_the_sliders_relabel_and_say_the_figures_that_python_gives(
    page: Page, cache: ScoreCache, tmp_path: Path
) -> None:
    opened(page, cache, tmp_path)
    own = {key: value for key, value in dataclasses.asdict(SETTINGS).items() if key not in ("compat", "half")}
    assert line(page) == {"grid": 2, **own}
    assert page.locator(".changed").inner_text() == "Nothing differs from the cache's own constants."
    cosines = cache.similarity(slice(None)).mean(axis=1)
    before = damp_codes(cosines, cache.observed, SETTINGS)
    random = np.random.default_rng(2)
    train = cache.split == "train"
    assert cache.truth is not None
    for split in ("train", ""):
        page.select_option(".explorer-split", split)
        rows = train | (split == "")
        for _ in range(10):
            for name in own:
                moved(page, name, random.random())
            constants = line(page)
            assert constants.pop("grid") == 2
            codes = damp_codes(cosines, cache.observed, DampSettings(**constants))
            quality = pseudo_label_quality(codes[rows], cache.observed[rows], cache.truth[rows])
            for name, count in (
                ("precision", quality.positives),
                ("recall", quality.hidden),
                ("f1", quality.positives),
            ):
                value = getattr(quality, name) if count else float("nan")  # without an entry there is no figure
                assert figure(page, name) == pytest.approx(value, abs=5.1e-4, nan_ok=True)
            assert figure(page, "each") == pytest.approx((codes[rows] == 1).sum(axis=1).mean(), abs=5.1e-3)
            observed = cache.observed[rows] == 1
            assert figure(page, "found") == pytest.approx((codes[rows] == 1)[observed].mean(), abs=5.1e-4)
            added, removed = (codes == 1) & (before != 1), (codes != 1) & (before == 1)
            words = page.locator(".changed").inner_text()
            assert words.startswith(f"{(codes != before)[rows].sum():,} code")
            assert f"{added[rows].sum():,} positive" in words and f"{removed[rows].sum():,} removed" in words
            shown = page.locator(".most-changed .picture").count()
            assert shown == min(12, ((added | removed)[rows].any(axis=1)).sum())
    page.click(".reset")
    expect(page.locator(".changed")).to_have_text("Nothing differs from the cache's own constants.")
    assert line(page) == {"grid": 2, **own}


def test_a_slider_is_moved_by_the_keyboard(page: Page, cache: ScoreCache) -> None:
    opened(page, cache, None)
    page.get_by_label("top_k").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator("output[for=explorer-top_k]")).to_have_text("3")
    assert line(page)["top_k"] == 3


def test_the_line_for_the_manifest_is_copied_without_a_permission(page: Page, cache: ScoreCache) -> None:
    opened(page, cache, None)
    page.evaluate("document.addEventListener('copy', () => { window.copied = String(getSelection()) })")
    page.click(".copy")
    assert page.evaluate("window.copied") == page.locator(".manifest-line").inner_text()
    assert page.locator(".copied").inner_text() == "Copied."


def test_a_picture_opens_and_says_why_for_each_class(page: Page, cache: ScoreCache, tmp_path: Path) -> None:
    opened(page, cache, tmp_path)
    picture = page.locator(".group").first.locator(".picture").first
    assert picture.locator(".cell").count() == 4
    picture.focus()
    page.keyboard.press("Enter")
    dialog = page.locator("dialog")
    assert dialog.is_visible()
    name = dialog.locator(".quiet bdi").inner_text()
    n = cache.ids.tolist().index(name)
    cosines = cache.similarity([n]).mean(axis=1)
    score, _ = damp_scores(cosines, cache.observed[[n]], SETTINGS)
    [codes] = damp_codes(cosines, cache.observed[[n]], SETTINGS)
    order = sorted(range(6), key=lambda c: -score[0, c])
    rows = dialog.locator(".scroll tbody tr")
    assert rows.locator("th").all_inner_texts() == [cache.classes[c] for c in order]
    begins = {1: "Positive: ", 0: "Not labelled: ", -1: "Negative: "}
    for place, c in enumerate(order):
        rows.nth(place).get_by_role("button").click()
        assert dialog.locator("h3").inner_text() == cache.classes[c]
        why, gate, known = dialog.locator(".why li").all_inner_texts()
        assert why.startswith(begins[codes[c]])
        assert gate.startswith(("The gate is open", "The gate is closed"))
        assert ("Observed: positive" in known) == (cache.observed[n, c] == 1)
        assert dialog.locator("table").first.locator("tbody tr").count() == 5
    page.keyboard.press("Escape")
    assert not dialog.is_visible()


def test_the_sentences_follow_the_sliders(page: Page, cache: ScoreCache, tmp_path: Path) -> None:
    opened(page, cache, tmp_path)
    scores, column = [1.0], 0
    while min(scores) >= 0.79:  # the slider goes up to 0.8, four times the cache's own threshold
        page.select_option(".gallery-class", str(column))
        surest = page.locator(".group").first.locator(".code").all_inner_texts()
        assert all(text.startswith("positive, ") for text in surest)
        scores, column = [float(text.removeprefix("positive, ")) for text in surest], column + 1
    least = page.locator(".group").first.locator(".picture").nth(scores.index(min(scores)))
    moved(page, "threshold", 1)
    moved(page, "negative_ratio", 0)
    assert least.locator(".code").inner_text() == f"not labelled, {min(scores):.3f}"
    least.click()
    why = page.locator(".why li").first.inner_text()
    assert why.startswith(f"Not labelled: below the threshold: {min(scores):.3f}, ") and "short of 0.800" in why


def test_images_that_are_gone_are_grey_boxes_with_the_reason(page: Page, cache: ScoreCache) -> None:
    opened(page, cache, None)
    box = page.locator(".group .missing").first
    assert box.inner_text() == "No picture: the folder of the images is not there"


def test_names_that_look_like_markup_are_shown_as_they_are(page: Page, tmp_path: Path) -> None:
    names = (
        "</script><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "\u05d7\u05ea\u05d5\u05dc",
        "🐈'\u2028",
        "c",
    )
    cache = made(tmp_path, {"classes": names}, rows=12, bad=0)
    page.on("dialog", lambda dialog: pytest.fail(f"a name was run: {dialog.message}"))
    opened(page, cache, None)
    page.locator(".picture").first.click()
    assert sorted(page.locator(".scroll th bdi").all_text_contents()) == sorted(names)
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_accessible_and_fits_a_phone(page: Page, cache: ScoreCache, tmp_path: Path, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    opened(page, cache, tmp_path)
    moved(page, "threshold", 0.1)
    for width, height in (PHONE, (1280, 800)):
        page.set_viewport_size({"width": width, "height": height})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        for opening in (False, True):
            if opening:
                page.locator(".group .picture").first.click()
            violations = Axe().run(page).response["violations"]
            serious = [of for of in violations if of["impact"] in ("serious", "critical")]
            assert not serious, json.dumps(serious, indent=1)
        page.keyboard.press("Escape")
