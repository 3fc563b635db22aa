"""The demo on a few scenes, and the picture it draws; the whole demo is marked slow."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aevlp.pipeline.manifest import load as manifests
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.pipeline.score_cache import open_cache
from aevlp.stages import contact_sheet
from aevlp.stages.caches.inspect import cached_settings, codes_by_views, qualities
from aevlp.stages.contact_sheet import Card, draw_sheet
from aevlp.stages.experiments import demo


def test_demo_on_few_scenes(tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = load_manifest()
    few = packaged["scenes2"].model_copy(update={"train": 200, "test": 20})
    monkeypatch.setattr(
        "aevlp.stages.sources.load_manifest",
        lambda _: packaged.model_copy(update={"datasets": {"scenes2": few}}),
    )
    monkeypatch.setattr(
        "aevlp.stages.cache_origin.load_manifest", lambda _: packaged.model_copy(update={"datasets": {"scenes2": few}})
    )
    monkeypatch.chdir(tmp_path)
    demo.show(demo.demo(epochs=1, device="cpu", workers=0))
    printed = capsys.readouterr().out
    assert "Test mAP on scenes2" in printed and "│ CLIP, multi-focus │ without training" in printed
    assert "bce, full labels" in printed
    assert (tmp_path / "runs/demo/an-seed0/best.safetensors").exists()
    with Image.open("demo.png") as picture:
        assert picture.size[0] > 1000
    cache = open_cache("cache/scenes2.h5")
    assert len(cache) == 220 and set(cache.status) == {"ok"}
    assert manifests.PACKAGED.parent.joinpath(cache.provenance["clip"]["weights"]).is_file()

    quality = qualities(cache, "train", codes_by_views(cache, cached_settings(cache)))
    # The small CLIP is a real one: far better than chance on pictures it has not seen, and better with tiles.
    assert 0.6 < quality["multi-focus"].precision < 0.9
    assert 0.35 < quality["multi-focus"].recall < 0.65
    assert quality["whole image"].recall < 0.6 * quality["multi-focus"].recall


def test_sheet_marks_true_wrong_and_missed(tmp_path: Path) -> None:
    Image.new("RGB", (10, 10), (0, 0, 255)).save(tmp_path / "blue.png")
    rows = {"observed": ["cat"], "predicted": ["cat", "dog"]}

    def colors(truth: set[str], complete: set[str]) -> set[tuple[int, ...]]:
        card = Card(tmp_path / "blue.png", frozenset(truth), rows, frozenset(complete))
        draw_sheet(tmp_path / "sheet.png", "title", [card])
        pixels = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))[70:]
        return {tuple(int(v) for v in color) for color in np.unique(pixels.reshape(-1, 3), axis=0)}

    marks = {contact_sheet.RIGHT, contact_sheet.WRONG, contact_sheet.MISSED}
    assert colors({"cat", "dog"}, set()) & marks == {contact_sheet.RIGHT}
    assert colors({"cat"}, set()) & marks == {contact_sheet.RIGHT, contact_sheet.WRONG}
    assert colors({"cat", "dog", "owl"}, {"predicted"}) & marks == {contact_sheet.RIGHT, contact_sheet.MISSED}


@pytest.mark.process
@pytest.mark.slow
def test_whole_demo_shows_what_it_promises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shown = demo.demo()
    mean = {name: row["mean"] for name, row in shown.losses.items()}
    whole, multi = (row["mean"] for row in shown.teachers)
    assert whole + 0.08 < multi
    assert max(mean["an"], multi) + 0.04 < mean["gpr"] < mean["bce"] - 0.04
