"""Reports of a cache, runs, a comparison and a sweep in Chromium, wide and narrow, light and dark."""

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import DESKTOP, PHONE, watched
from playwright.sync_api import Browser

import aevlp
from aevlp.stages.report.report import report

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.process]
SERIOUS = ("serious", "critical")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The pages of small scenes: their cache, two runs, a comparison and a sweep."""
    folder = tmp_path_factory.mktemp("reports")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(folder)
        manifest = folder / "m.yaml"
        manifest.write_text(
            "datasets:\n  small:\n    title: Small scenes\n    format: scenes\n    series: 2\n    train: 200\n    test: 80\n"
            "    expected_positives: 3.4\n    simulate: single-positive\n"
            "    clip: {model: weights/scenes2-clip.json, weights: weights/scenes2-clip.safetensors}\n"
            "    damp: {grid: 2, temperature: 0.12, eta: 0.3, threshold: 0.18, top_k: 6, negative_ratio: 0.5}\n"
            "    recipe: {backbone: linear, epochs: 3, batch_size: 32, lr: 0.01}\n"
        )
        weights = Path(next(iter(aevlp.__path__))) / "weights"
        (folder / "weights").symlink_to(weights)
        cache = aevlp.pseudolabel(dataset="small", manifest=[manifest], cache=folder / "it's a cache.h5")
        runs = [aevlp.train(cache, loss=loss, manifest=[manifest], run=folder / loss) for loss in ("an", "gpr")]
        table = aevlp.compare(cache, losses=["an", "gpr"], seeds=2, manifest=[manifest], runs=folder / "compared")
        swept = aevlp.sweep(cache, manifest=[manifest], output=folder / "sweep.json")
        sources: list[Any] = [cache, *runs, table, swept]
        return {
            name: report(of) for name, of in zip(("cache", "an", "gpr", "comparison", "sweep"), sources, strict=True)
        }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["wide", "narrow"])
@pytest.mark.parametrize("name", ["cache", "an", "gpr", "comparison", "sweep"])
def test_a_report_opens_without_a_fault(
    chromium: Browser,
    pages: dict[str, Path],
    name: str,
    size: tuple[int, int],
    scheme: Any,
) -> None:
    page = chromium.new_page(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    faults = watched(page)
    page.goto(pages[name].as_uri())
    page.wait_for_load_state("networkidle")
    assert page.locator("main > section").count() >= 3 and page.locator("figure svg").count() >= 3
    over = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert over <= 0
    found = Axe().run(page).response["violations"]
    assert [(of["id"], of["impact"], of["nodes"][0]["html"][:90]) for of in found if of["impact"] in SERIOUS] == []
    page.close()
    assert faults == []
