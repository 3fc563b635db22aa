"""`aevlp datasets`: states and counts, archives fetched and unpacked from a server on this machine, formatted files written."""

import functools
import hashlib
import io
import json
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from conftest import call, draw_blocks
from dataset_files import tar_of
from PIL import Image

from aevlp.pipeline.datasets import load_images
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.stages.data import datasets

LISTS = {
    "cat_train": "2008_01 1\n2008_02 -1\n2008_03 1\n",
    "dog_train": "2008_01 -1\n2008_02 1\n2008_03 1\n",
    "cat_val": "2009_01 1\n2009_02 0\n",
    "dog_val": "2009_01 -1\n2009_02 1\n",
}
IMAGES = ("2008_01", "2008_02", "2008_03", "2009_01", "2009_02")


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(file, "JPEG")
    return file.getvalue()


def archive(path: Path, more: dict[str, bytes] | None = None) -> None:
    """Write a tiny VOC archive in the official layout."""
    files = {f"VOCdevkit/VOC2012/ImageSets/Main/{name}.txt": text.encode() for name, text in LISTS.items()}
    files |= {f"VOCdevkit/VOC2012/JPEGImages/{name}.jpg": jpeg() for name in IMAGES}
    path.write_bytes(tar_of({**files, **(more or {})}))


class Quiet(SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, format: str, *args: object) -> None:
        self.asked.append(self.path)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder, and the address that it is served at."""
    folder = tmp_path / "server"
    folder.mkdir()
    Quiet.asked = []
    monkeypatch.setenv("no_proxy", "*")
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def manifest(folder: Path, url: str, md5: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(f"""
datasets:
  tiny:
    title: A tiny VOC
    format: voc
    folder: VOCdevkit/VOC2012
    root: tiny
    classes: [cat, dog]
    expected: {{classes: 2, train: 3, test: 2}}
    downloads: [{{url: "{url}/tiny.tar", md5: '{md5}'}}]
  asked:
    title: On request
    format: voc
    root: asked
    classes: [cat]
    steps: write to the owner
  drawn: {{title: Drawn, format: scenes, root: drawn, train: 3, test: 1}}
""")
    return path


@pytest.fixture
def tiny(tmp_path: Path, served: tuple[Path, str]) -> Path:
    folder, url = served
    archive(folder / "tiny.tar")
    return manifest(tmp_path, url, hashlib.md5((folder / "tiny.tar").read_bytes()).hexdigest())


def state(path: Path, name: str, capsys: pytest.CaptureFixture) -> dict:
    capsys.readouterr()
    assert call("datasets", name, "--manifest", path, "--json") == 0
    return json.loads(capsys.readouterr().out)[name]


def test_archives_are_fetched_and_unpacked_and_read(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    assert state(tiny, "tiny", capsys)["state"] == "missing"
    assert call("datasets", "tiny", "--download", "--manifest", tiny) == 0
    printed = capsys.readouterr()
    assert "5 images" in printed.out and "aevlp check tiny" in printed.out
    assert "fetching tiny.tar" in printed.err and "unpacking tiny.tar" in printed.err
    found = state(tiny, "tiny", capsys)
    assert found["state"] == "found"
    assert found["found"] == {"classes": 2, "train": 3, "test": 2, "missing_images": 0}
    assert load_images(load_manifest(tiny)["tiny"]).ids.tolist() == list(IMAGES)
    before = len(Quiet.asked)
    assert call("datasets", "tiny", "--download", "--manifest", tiny) == 0
    assert "already" in capsys.readouterr().out and len(Quiet.asked) == before


def test_an_unpacked_folder_that_lost_a_file_is_mended_from_the_archive(
    tiny: Path, capsys: pytest.CaptureFixture
) -> None:
    assert call("datasets", "tiny", "--download", "--manifest", tiny) == 0
    lost = tiny.parent / "tiny" / "VOCdevkit" / "VOC2012" / "JPEGImages" / "2008_02.jpg"
    lost.unlink()
    found = state(tiny, "tiny", capsys)
    assert found["state"] == "images missing"
    assert "1 of 5 images are not on disk: VOCdevkit/VOC2012/JPEGImages/2008_02.jpg" in found["detail"]
    asked = len(Quiet.asked)
    assert call("datasets", "tiny", "--download", "--manifest", tiny) == 0
    assert lost.read_bytes() == jpeg() and len(Quiet.asked) == asked


def test_an_archive_with_another_checksum_is_not_unpacked(
    tmp_path: Path, served: tuple[Path, str], capsys: pytest.CaptureFixture
) -> None:
    folder, url = served
    archive(folder / "tiny.tar")
    path = manifest(tmp_path, url, "0" * 32)
    assert call("datasets", "tiny", "--download", "--manifest", path) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "0" * 32 in error
    assert not (tmp_path / "tiny" / "VOCdevkit").exists()


def test_an_archive_that_leads_out_of_its_folder_is_refused_whole(
    tmp_path: Path, served: tuple[Path, str], capsys: pytest.CaptureFixture
) -> None:
    folder, url = served
    archive(folder / "tiny.tar", {"../evil.txt": b"gotcha"})
    path = manifest(tmp_path, url, hashlib.md5((folder / "tiny.tar").read_bytes()).hexdigest())
    assert call("datasets", "tiny", "--download", "--manifest", path) == 1
    assert "../evil.txt" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "evil.txt").exists() and not (tmp_path / "tiny" / "VOCdevkit").exists()


def test_steps_are_printed_where_a_program_cannot_fetch(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    assert call("datasets", "asked", "--download", "--manifest", tiny) == 0
    assert "write to the owner" in capsys.readouterr().out
    assert call("datasets", "nuswide", "--download") == 0
    printed = capsys.readouterr().out
    assert "Flickr/" in printed and "formatted_train_images.npy" in printed
    assert call("datasets", "drawn", "--download", "--manifest", tiny) == 1
    assert "names no archives" in capsys.readouterr().err


def test_the_table_has_every_state_and_the_counts(tiny: Path, capsys: pytest.CaptureFixture) -> None:
    (tiny.parent / "asked").mkdir()
    assert call("datasets", "--manifest", tiny, "--json") == 0
    states = {name: s["state"] for name, s in json.loads(capsys.readouterr().out).items()}
    assert states == {"tiny": "missing", "asked": "incomplete", "drawn": "made when needed"}
    assert call("datasets", "tiny", "--download", "--manifest", tiny) == 0
    tiny.write_text(tiny.read_text().replace("train: 3, test: 2}", "train: 4, test: 2}"))
    assert state(tiny, "tiny", capsys)["state"] == "counts differ"
    assert call("datasets", "--manifest", tiny) == 0
    assert "3 / 4" in capsys.readouterr().out


def test_the_packaged_benchmarks_are_missing_and_say_how_to_get_them(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("datasets", "--json") == 0
    states = json.loads(capsys.readouterr().out)
    assert {name: s["state"] for name, s in states.items()} == {
        "scenes": "made when needed",
        "scenes2": "made when needed",
        **dict.fromkeys(("voc", "coco", "nuswide", "cub"), "missing"),
    }
    for name in ("voc", "coco", "nuswide", "cub"):
        assert f"aevlp datasets {name} --download" in states[name]["detail"]


def test_formatted_files_are_written_and_read_again(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    draw_blocks(tmp_path / "data")
    path = tmp_path / "data" / "blocks.yaml"
    target = tmp_path / "out"
    assert call("datasets", "blocks", "--manifest", path, "--export", target) == 0
    written = capsys.readouterr().out.splitlines()
    assert sorted(p.name for p in target.glob("*.npy")) == sorted(Path(line).name for line in written if ".npy" in line)
    blocks = load_images(load_manifest(path)["blocks"])
    labels = np.load(target / "formatted_train_labels.npy")
    assert labels.dtype == np.float64 and blocks.truth is not None
    np.testing.assert_array_equal(labels, blocks.truth[:12])
    (tmp_path / "again.yaml").write_text(
        f"datasets: {{again: {{title: x, format: formatted, root: data, folder: {target}, classes: {target}/classes.txt}}}}"
    )
    again = load_images(load_manifest(tmp_path / "again.yaml")["again"])
    assert again.classes == blocks.classes
    assert set(again.label_hashes()) == {f"../out/{path.name}" for path in target.glob("*.npy")}
    assert again.ids.tolist() == blocks.ids.tolist() and again.paths.tolist() == blocks.paths.tolist()
    np.testing.assert_array_equal(again.observed, blocks.observed)
    assert call("datasets", "blocks", "--manifest", path, "--export", target) == 1
    assert "is there already" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--download"], ["--export", "out"]])
def test_an_option_for_one_data_set_needs_its_name(option: list[str], capsys: pytest.CaptureFixture) -> None:
    assert call("datasets", *option) == 1
    assert capsys.readouterr().err == "error: --download and --export need the name of a data set\n"


def test_only_the_archives_of_missing_images_are_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec, root = load_manifest()["coco"], tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    for number, name in ((1, "train"), (2, "val")):
        content = {"categories": [{"id": 1, "name": "a"}], "annotations": [{"image_id": number, "category_id": 1}]}
        (root / "annotations" / f"instances_{name}2014.json").write_text(json.dumps(content))
    (root / "train2014").mkdir()
    Image.new("RGB", (4, 4)).save(root / "train2014" / "COCO_train2014_000000000001.jpg")
    needed = datasets.needed_archives(spec, root)
    assert [archive.file for archive in needed] == ["val2014.zip"]
    (root / "annotations" / "instances_val2014.json").unlink()
    assert len(datasets.needed_archives(spec, root)) == 3
