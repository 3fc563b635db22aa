"""Labels of new images: by an exported model without torch, from standard input, and by a Predictor that holds its model."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from conftest import call
from PIL import Image
from refusals import one_line
from test_onnx_model import mean_colours

import aevlp
from aevlp.stages import contact_sheet
from aevlp.stages.prediction.model import Running, open_model

LOADED = """
import sys
from aevlp.stages.commands.app import main
try:
    main(sys.argv[1:])
finally:
    print([name for name in ("torch", "h5py", "pandas", "matplotlib", "pyarrow", "scipy") if name in sys.modules])
"""


def pictures(folder: Path, count: int = 5) -> list[Path]:
    """Write small pictures of random pixels."""
    random = np.random.default_rng(3)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{n:02d}.png" for n in range(count)]
    for n, path in enumerate(paths):
        Image.fromarray(random.integers(0, 256, (5 + n, 9 - n % 4, 3), dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return mean_colours(tmp_path / "model.onnx")


def by_hand(path: Path) -> np.ndarray:
    """Return the probabilities of `mean_colours` of an image file: a sigmoid of the mean of each normalised channel."""
    from test_onnx_model import MEAN, SIZE, STD

    pixels = Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    means = (np.asarray(pixels, np.float64) / 255 - MEAN) / STD
    return 1 / (1 + np.exp(-means.mean(axis=(0, 1))))


@pytest.mark.process
def test_an_exported_model_predicts_without_torch(model: Path, tmp_path: Path) -> None:
    pictures(tmp_path / "new")
    done = subprocess.run(
        [sys.executable, "-c", LOADED, "predict", str(model), str(tmp_path / "new"), "--json"],
        capture_output=True,
        text=True,
        check=True,
    )
    found, loaded = done.stdout.strip().splitlines()
    assert loaded == "[]" and len(json.loads(found)["images"]) == 5


def test_probabilities_are_those_worked_out_by_hand(model: Path, tmp_path: Path) -> None:
    paths = pictures(tmp_path / "new")
    found = aevlp.predict(model, [str(tmp_path / "new")], threshold=0.5)
    assert [image["image"] for image in found.images] == list(map(str, paths))
    for path, image in zip(paths, found.images, strict=True):
        expected = by_hand(path)
        np.testing.assert_allclose(list(image["probabilities"].values()), expected, atol=1e-5)
        assert image["labels"] == [name for name, p in zip(found.classes, expected, strict=True) if p >= 0.5]


def test_paths_come_on_standard_input(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = pictures(tmp_path / "new")
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"\ufeff{second}\r\n\n{first}\n{tmp_path / 'gone.png'}\n{second}"))
    assert call("predict", model, "-", "--json") == 0
    images = json.loads(capsys.readouterr().out)["images"]
    assert [Path(image["image"]).name for image in images] == ["01.png", "00.png", "gone.png"]
    assert [image["status"] for image in images] == ["ok", "ok", "missing"]


@pytest.mark.parametrize(("text", "said"), [("", "found none"), ("\n \n", "found none"), ("a.png\0b.png", "-print0")])
def test_standard_input_without_paths_is_named(
    model: Path, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    with one_line(said):
        aevlp.predict(model, ["-"])


@pytest.mark.parametrize("closed", [None, io.StringIO()])
def test_a_closed_standard_input_is_named(
    model: Path, closed: io.StringIO | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if closed is not None:
        closed.close()
    monkeypatch.setattr(sys, "stdin", closed)
    with one_line("closed"):
        aevlp.predict(model, ["-"])


@pytest.mark.parametrize("given", ["a pattern", "a file", "standard input"])
def test_an_image_whose_name_is_no_text_is_left_out_and_said(
    given: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = pictures(tmp_path / "new", 2)
    odd = second.rename(os.fsdecode(os.fsencode(second.parent) + b"/caf\xe9.png"))
    lines = io.BytesIO(b"\n".join(map(os.fsencode, (first, odd))))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(lines, encoding="utf-8"))
    names = {"a pattern": [f"{first.parent}/*"], "a file": [str(first), str(odd)], "standard input": ["-"]}[given]
    for output in (tmp_path / "found.csv", tmp_path / "found"):
        lines.seek(0)
        assert [image["status"] for image in _rows(model, names, output)] == ["ok"]
        said = capsys.readouterr().err
        assert "left out: 1 image whose name is not UTF-8 text, first" in said and "caf\\udce9.png" in said
    with one_line("no image is left"):
        aevlp.predict(model, [str(odd)])


def _rows(model: Path, names: list[str], output: Path) -> list[dict[str, Any]]:
    aevlp.predict(model, names, output=output, progress=True)
    if output.suffix:
        return pd.read_csv(output).to_dict("records")
    return pq.read_table(output / "part-000000.parquet").to_pylist()


def test_an_empty_name_is_refused(model: Path) -> None:
    for names in ([""], ["", "a.png"]):
        with one_line("an image has an empty name"):
            aevlp.predict(model, names)


def test_a_table_or_an_empty_folder_among_images_is_refused(model: Path, tmp_path: Path) -> None:
    image, *_ = pictures(tmp_path / "new")
    (tmp_path / "labels.csv").write_text("image\n")
    with one_line("standard input"):
        aevlp.predict(model, [str(image), str(tmp_path / "labels.csv")])
    (tmp_path / "empty").mkdir()
    with one_line("no image file in the folder"):
        aevlp.predict(model, [str(tmp_path / "empty")])


def test_a_predictor_sees_in_files_pictures_and_arrays_the_same(model: Path, tmp_path: Path) -> None:
    path, other, *_ = pictures(tmp_path / "new")
    opened = Image.open(path)
    with aevlp.Predictor(model, threshold=0.5) as predictor:
        found = predictor([path, opened, np.asarray(opened.convert("RGB")), str(other), tmp_path / "gone.png"]).images
        alone = predictor(other).images
        assert predictor([]).images == []
    assert found[0]["probabilities"] == found[1]["probabilities"] == found[2]["probabilities"]
    assert [image["image"] for image in found[1:3]] == ["#1", "#2"]
    assert alone == found[3:4] and found[4]["status"] == "missing"
    assert found[0]["labels"] == aevlp.predict(model, [str(path)], threshold=0.5).images[0]["labels"]


def test_a_predictor_of_a_run_sees_what_predict_sees(run_path: Path, blocks: Path) -> None:
    paths = sorted((blocks / "images").glob("*.png"))[:3]
    expected = aevlp.predict(run_path, [str(path) for path in paths], device="cpu", workers=0)
    with aevlp.Predictor(run_path, device="cpu") as predictor:
        for given in (paths, [Image.open(path) for path in paths]):
            found = predictor(given)
            assert found.classes == expected.classes
            for one, other in zip(found.images, expected.images, strict=True):
                assert one["labels"] == other["labels"]
                got, want = (list(image["probabilities"].values()) for image in (one, other))
                np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_turned_picture_in_memory_is_turned_as_its_file_is(model: Path, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    pixels = np.random.default_rng(1).integers(0, 256, (12, 5, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    with aevlp.Predictor(model) as predictor:
        found = predictor([tmp_path / "turned.png", Image.open(tmp_path / "turned.png")]).images
    assert found[0]["probabilities"] == found[1]["probabilities"]


def test_threads_may_share_a_predictor(model: Path, tmp_path: Path) -> None:
    paths = pictures(tmp_path / "new", 8)
    with aevlp.Predictor(model) as predictor, ThreadPoolExecutor(4) as threads:
        found = list(threads.map(predictor, paths * 5))
        expected = [predictor(path).images for path in paths]
    assert [one.images for one in found] == expected * 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (lambda: 3.5, "found float"),
        (lambda: np.zeros((4, 4, 3)), r"float64"),
        (lambda: np.zeros((4, 4), np.uint8), r"\(4, 4\)"),
        (lambda: np.zeros((0, 4, 3), np.uint8), r"\(0, 4, 3\)"),
        (lambda: Image.new("I;16", (4, 4)), "I;16"),
    ],
)
def test_a_predictor_refuses_what_is_no_image(model: Path, given: Callable[[], object], said: str) -> None:
    with aevlp.Predictor(model) as predictor, one_line(said):
        predictor([given()])  # type: ignore[list-item]


def test_a_closed_predictor_and_a_bad_threshold_are_named(model: Path, tmp_path: Path) -> None:
    predictor = aevlp.Predictor(model)
    predictor.close()
    predictor.close()
    with one_line("closed"):
        predictor(tmp_path / "a.png")
    for threshold in (2, float("nan"), "0.5"):
        with one_line("threshold: expected a number from 0 to 1"):
            aevlp.Predictor(model, threshold=threshold)  # type: ignore[arg-type]
    with one_line("none"):
        aevlp.Predictor(tmp_path / "none")
    with one_line("expected the folder of a run or an .onnx file, found 5"):
        aevlp.Predictor(5)  # type: ignore[arg-type]
    with aevlp.Predictor(model) as open_one, one_line("expected a path, a Pillow image or an array, found int"):
        open_one(5)  # type: ignore[arg-type]


def test_a_sheet_shows_the_first_images_with_their_labels(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aevlp.stages.prediction import drawn

    paths = pictures(tmp_path / "new", 6)
    paths[1].write_bytes(b"no picture")
    drew, draw = list[list[contact_sheet.Card]](), drawn.draw_sheet

    def noted(path: Path, title: str, cards: list[contact_sheet.Card], max_pixels: int) -> None:
        assert max_pixels == 500_000_000
        drew.append(list(cards))
        draw(path, title, cards, max_pixels)

    monkeypatch.setattr(drawn, "draw_sheet", noted)
    found = aevlp.predict(
        model, [str(tmp_path / "new")], sheet=tmp_path / "sheet.png", threshold=0.5, max_pixels=500_000_000
    )
    [cards] = drew
    assert [card.path for card in cards] == [path for path in paths if path != paths[1]]
    good = [image for image in found.images if image["status"] == "ok"]
    for card, image in zip(cards, good, strict=True):
        [words] = card.rows.values()
        assert words == [f"{name} {image['probabilities'][name]:.2f}" for name in image["labels"]]
    with Image.open(tmp_path / "sheet.png") as sheet:
        first = sheet.convert("RGB").crop((14, 70, 14 + 192, 70 + 192))
    np.testing.assert_array_equal(first, Image.open(paths[0]).resize((192, 192), Image.Resampling.LANCZOS))
    for write in ("probabilities", "labels"):
        again = {
            "shard_images": 2,
            "threshold": 0.5,
            "max_pixels": 500_000_000,
            "write": write,
            "output": tmp_path / write,
        }
        for _ in range(2):  # a command that resumes draws it anew
            aevlp.predict(model, [str(tmp_path / "new")], sheet=tmp_path / f"{write}.png", **again)
        sharded = drew[-1]
        assert [card.path for card in sharded] == [card.path for card in cards]
        words = [next(iter(card.rows.values())) for card in cards]
        if write == "labels":
            words = [[word.rpartition(" ")[0] for word in some] for some in words]
        assert [next(iter(card.rows.values())) for card in sharded] == words


def test_a_sheet_is_a_png_file_and_takes_the_place_of_none(model: Path, tmp_path: Path) -> None:
    first, *_ = pictures(tmp_path / "new")
    for output in (None, tmp_path / "labels", tmp_path / "labels.csv"):
        with one_line("is there already"):
            aevlp.predict(model, [str(first)], sheet=first, output=output)
    with one_line("expected a .png"):
        aevlp.predict(model, [str(tmp_path / "new")], sheet=tmp_path / "sheet.jpg")


def test_rows_of_one_list_are_scored_piece_by_piece_as_all_at_once(run_path: Path, model: Path, tmp_path: Path) -> None:
    paths = [*map(str, pictures(tmp_path / "new", 7)), str(tmp_path / "gone.png")]
    for place in (run_path, model):
        opened = open_model(place, Running("cpu", 0))
        images = np.array(paths)
        whole = list(opened.scored(images))
        logits = np.concatenate([some.logits for some in whole])
        pieces = [some for rows in ([0, 1, 2], [7], [3, 4, 5, 6]) for some in opened.scored(images, np.array(rows))]
        assert np.concatenate([some.rows for some in pieces]).tolist() == list(range(7))
        np.testing.assert_allclose(np.concatenate([some.logits for some in pieces]), logits, atol=1e-5)
        assert (
            [row for some in pieces for row in some.unreadable] == [7] == [r for some in whole for r in some.unreadable]
        )
        opened.close()
