"""`aevlp check`: a whole set has nothing wrong, and each planted fault is named, once, and nothing else."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import call, draw_blocks
from PIL import Image

from aevlp.pipeline.datasets.dataset_check import KINDS, check_dataset
from aevlp.pipeline.manifest.load import load_manifest

TRAIN, TEST = 24, 8


class Folder:
    """A table of pictures, all different, that faults are planted in."""

    def __init__(self, root: Path) -> None:
        draw_blocks(root, TRAIN, TEST)
        self.root = root
        self.manifest = root / "blocks.yaml"
        self.manifest.write_text(self.manifest.read_text().replace("[red, green, blue]", "classes.txt"))
        (root / "classes.txt").write_text("red\ngreen\nblue\n")
        self.lines = (root / "labels.csv").read_text().splitlines()

    def image(self, number: int) -> Path:
        return self.root / "images" / f"{number:02d}.png"

    def row(self, number: int, change: Callable[[str], str]) -> None:
        place = next(n for n, line in enumerate(self.lines) if line.startswith(f"images/{number:02d}.png"))
        self.lines[place] = change(self.lines[place])

    def add(self, name: str, source: int, split: str) -> None:
        shutil.copy(self.image(source), self.root / "images" / name)
        self.lines.append(f"images/{name},{split},red")

    def write(self) -> None:
        (self.root / "labels.csv").write_text("\n".join(self.lines) + "\n")

    def check(self) -> dict[str, list[str]]:
        """Return the lines found, by kind."""
        self.write()
        result = check_dataset(load_manifest(self.manifest)["blocks"], self.root)
        return {kind: lines for kind in KINDS if (lines := result.of_kind(kind))}


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data")


def unreadable(folder: Folder) -> str:
    folder.image(1).write_bytes(folder.image(1).read_bytes()[:200])
    return "01.png"


def missing(folder: Folder) -> str:
    folder.image(2).unlink()
    return "02.png: no such file"


def duplicate(folder: Folder) -> str:
    folder.add("copy.png", 3, "train")
    return "images/03.png (train), images/copy.png (train)"


def leak(folder: Folder) -> str:
    folder.add("leak.png", 4, "test")
    return "images/04.png (train), images/leak.png (test)"


def twice(folder: Folder) -> str:
    folder.lines.append(next(line for line in folder.lines if line.startswith("images/05")))
    return "'images/05.png'"


def unknown(folder: Folder) -> str:
    folder.row(6, lambda line: line.rsplit(",", 1)[0] + ",violet")
    return "'violet'"


def unused(folder: Folder) -> str:
    path = folder.root / "classes.txt"
    path.write_text(path.read_text() + "white\n")
    return "white"


def unlabelled(folder: Folder) -> str:
    folder.row(7, lambda line: line.rsplit(",", 1)[0] + ",")
    return "images/07.png"


def strange_split(folder: Folder) -> str:
    folder.row(8, lambda line: line.replace(",train,", ",holdout,"))
    return "'holdout'"


def outside(folder: Folder) -> str:
    folder.lines.append("../secret.png,train,red")
    return "'../secret.png'"


def short_row(folder: Folder) -> str:
    folder.lines.append("images/09.png,train")
    return "expected 3 fields"


def named_twice(folder: Folder) -> str:
    path = folder.root / "classes.txt"
    path.write_text(path.read_text() + "green\n")
    return "green"


PLANTED: dict[str, Callable[[Folder], str]] = {
    "unreadable image": unreadable,
    "missing image": missing,
    "duplicate": duplicate,
    "in two splits": leak,
    "listed twice": twice,
    "unknown class": unknown,
    "class never used": unused,
    "without a positive": unlabelled,
    "unknown split": strange_split,
    "outside the folder": outside,
    "bad row": short_row,
    "class named twice": named_twice,
}


def test_nothing_is_wrong_with_a_whole_set(folder: Folder, capsys: pytest.CaptureFixture) -> None:
    assert folder.check() == {}
    assert call("check", folder.manifest) == 0
    assert f"{TRAIN + TEST} images opened, nothing is wrong" in capsys.readouterr().out


@pytest.mark.parametrize("kind", PLANTED)
def test_a_planted_fault_is_named_and_nothing_else(folder: Folder, kind: str) -> None:
    where = PLANTED[kind](folder)
    found = folder.check()
    assert list(found) == [kind]
    (line,) = found[kind]
    assert where in line and "\n" not in line


def test_all_planted_faults_together_are_named_and_nothing_else(folder: Folder, capsys: pytest.CaptureFixture) -> None:
    places = {kind: plant(folder) for kind, plant in PLANTED.items()}
    found = folder.check()
    assert {kind: len(lines) for kind, lines in found.items()} == dict.fromkeys(places, 1)
    assert all(place in found[kind][0] for kind, place in places.items())
    assert call("check", "blocks", "--manifest", folder.manifest, "--json") == 1
    printed = capsys.readouterr()
    (report,) = json.loads(printed.out).values()
    assert {fault["kind"]: fault["text"] for fault in report["faults"]} == {k: lines[0] for k, lines in found.items()}
    serious = sum(KINDS[kind] for kind in places)
    assert sum(fault["serious"] for fault in report["faults"]) == serious
    assert printed.err.splitlines()[-1] == f"error: blocks has {serious} faults with which training would go wrong"


@pytest.mark.parametrize("kind", [kind for kind in PLANTED if not KINDS[kind]])
def test_what_training_does_not_mind_is_no_error(folder: Folder, kind: str, capsys: pytest.CaptureFixture) -> None:
    where = PLANTED[kind](folder)
    folder.write()
    assert call("check", folder.manifest) == 0
    assert f"{kind}: " in (printed := capsys.readouterr().out) and where in printed


def test_equal_pixels_in_another_file_format_are_one_picture(folder: Folder) -> None:
    with Image.open(folder.image(3)) as picture:
        picture.save(folder.root / "images" / "copy.bmp")
    folder.lines.append("images/copy.bmp,train,red")
    assert list(folder.check()) == ["duplicate"]


def test_pictures_of_one_colour_and_another_shape_differ(folder: Folder) -> None:
    for name, size in (("wide", (8, 2)), ("high", (2, 8))):
        Image.new("RGB", size).save(folder.root / "images" / f"{name}.png")
        folder.lines.append(f"images/{name}.png,train,red")
    assert list(folder.check()) == ["nearly flat"]


FLAT: dict[str, tuple[np.ndarray, str]] = {
    "one colour": (np.full((30, 40, 3), (200, 30, 90), np.uint8), "between 200 and 200, 30 and 30, 90 and 90 of 255"),
    "12 bits of 16": (np.arange(1200, dtype=np.uint16).reshape(30, 40) * 3, "0 and 14 of 255; if these are 12 bits"),
    "black": (np.zeros((30, 40), np.uint8), "between 0 and 0 of 255; if"),
    "white with noise": (255 - np.arange(1200, dtype=np.uint8).reshape(30, 40) % 16, "between 240 and 255 of 255"),
}


@pytest.mark.parametrize("kind", FLAT)
def test_a_picture_of_nearly_one_colour_is_named_with_its_levels(folder: Folder, kind: str) -> None:
    pixels, levels = FLAT[kind]
    Image.fromarray(pixels).save(folder.root / "images" / "flat.png")
    folder.lines.append("images/flat.png,train,red")
    (line,) = folder.check()["nearly flat"]
    assert line.startswith("images/flat.png: its levels lie ") and levels in line
    assert call("check", folder.manifest) == 0


@pytest.mark.parametrize("high", [(16, 0, 0), (0, 0, 200), (255, 255, 255)])
def test_a_picture_with_one_pixel_that_stands_out_is_not_flat(folder: Folder, high: tuple[int, int, int]) -> None:
    pixels = np.zeros((30, 40, 3), np.uint8)
    pixels[7, 9] = high
    Image.fromarray(pixels).save(folder.root / "images" / "night.png")
    folder.lines.append("images/night.png,train,red")
    assert folder.check() == {}


def test_class_frequencies_and_positives_an_image_are_counted(folder: Folder) -> None:
    folder.write()
    result = check_dataset(load_manifest(folder.manifest)["blocks"], folder.root)
    rows = [line.split(",") for line in folder.lines[1:]]
    for name, counts in result.classes.items():
        for split in ("train", "test"):
            assert counts[split] == sum(row[1] == split and name in row[2].split(";") for row in rows)
    for split in ("train", "test"):
        numbers = [len(row[2].split(";")) for row in rows if row[1] == split]
        assert result.per_image[split] == {n: numbers.count(n) for n in sorted(set(numbers))}


def test_a_class_of_the_test_split_alone_is_said(folder: Folder) -> None:
    path = folder.root / "classes.txt"
    path.write_text(path.read_text() + "white\n")
    folder.row(TRAIN, lambda line: line + ";white")
    assert folder.check() == {"class not in training": ["white: 1 test images show it and no training image does"]}


def test_too_little_to_train_on_is_serious(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    folder.lines = [
        line for line in folder.lines if ",train," not in line or line.startswith(("images/00", "images/01"))
    ]
    assert "nothing to train on" in folder.check()


def test_counts_are_held_against_the_published_ones(folder: Folder) -> None:
    folder.manifest.write_text(folder.manifest.read_text() + "    expected: {classes: 3, train: 25, test: 8}\n")
    assert folder.check() == {"counts differ": ["train: 24, the published data set has 25"]}


def test_a_set_that_cannot_be_read_at_all_is_one_serious_fault(folder: Folder, capsys: pytest.CaptureFixture) -> None:
    folder.lines[0] = "picture,split,labels"
    assert list(folder.check()) == ["cannot be read"]
    assert call("check", folder.manifest) == 1
    assert "unknown column 'image'" in capsys.readouterr().out


def test_every_data_set_of_a_manifest_is_checked(folder: Folder, capsys: pytest.CaptureFixture) -> None:
    text = folder.manifest.read_text()
    entry = text.split("datasets:\n", 1)[1]
    folder.manifest.write_text(text + entry.replace("  blocks:", "  again:", 1))
    folder.write()
    assert call("check", folder.manifest, "--json") == 0
    assert list(json.loads(capsys.readouterr().out)) == ["blocks", "again"]
    assert call("check", folder.manifest, "--data-root", folder.root) == 1
    assert "names 2: blocks, again" in capsys.readouterr().err


def test_observed_labels_are_counted_where_truth_is_not_known(folder: Folder) -> None:
    folder.manifest.write_text(folder.manifest.read_text().replace("simulate: single-positive", "labels: observed"))
    folder.write()
    result = check_dataset(load_manifest(folder.manifest)["blocks"], folder.root)
    assert result.findings == []
    assert sum(of["train"] for of in result.classes.values()) == TRAIN + TRAIN // 2


def test_images_are_opened_in_the_tables_order_whatever_the_number_of_threads(folder: Folder) -> None:
    folder.write()
    for number in np.random.default_rng(0).permutation(TRAIN)[:9]:
        folder.image(int(number)).unlink()
    spec = load_manifest(folder.manifest)["blocks"]
    found = [check_dataset(spec, folder.root, workers).of_kind("missing image") for workers in (1, 5)]
    assert found[0] == found[1] and len(found[0]) == 9
    assert found[0] == sorted(found[0])


@pytest.mark.parametrize(
    ("line", "where"),
    [
        ("natural_names: {cow: kine}", "names: unknown class in natural_names 'cow'"),
        ("prompt: '{} here'\n    losses: {gpr: {bogus: 1}}", "losses.gpr: unknown constant of loss gpr 'bogus'"),
        ("prompt: '{} here'\n    losses: {gpx: {}}", "losses.gpx: unknown loss 'gpx'"),
        (
            "prompt: '{} here'\n    losses: {gpr: {num_classes: 3}}",
            "losses.gpr: unknown constant of loss gpr 'num_classes'",
        ),
        ("prompt: '{} here'\n    losses: {gpr: {beta: 5}}", "losses.gpr: beta of loss gpr must be a list of numbers"),
        ("recipe: {backbone: resnet999}", "recipe.backbone: unknown backbone 'resnet999'"),
        ("clip: {model: nope}", "clip: unknown open_clip model 'nope'"),
    ],
)
def test_a_setting_that_a_stage_would_refuse_is_named(
    folder: Folder, line: str, where: str, capsys: pytest.CaptureFixture
) -> None:
    text = folder.manifest.read_text()
    key = line.rsplit("\n", 1)[-1].strip().partition(":")[0]
    kept = text[: text.index("    clip:")]
    clip = "" if key == "clip" else "    clip: {model: tiny-clip.json, weights: random}\n"
    folder.manifest.write_text(kept + f"    {line}\n" + clip)
    folder.write()
    assert call("check", folder.manifest) == 1
    printed = capsys.readouterr()
    assert f"setting refused: {where}" in printed.out
    assert "1 fault with which" in printed.err
