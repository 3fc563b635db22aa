"""Which files are given to a decoder: pictures of the list, by what they hold; all else is named, and starts no program."""

import ast
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from laws import each
from picture_files import LFS_POINTER, POSTSCRIPT, exif, of_every_format, of_no_image_format, saved, scene
from PIL import Image

from aevlp.pipeline.errors import ImageError
from aevlp.pipeline.files import foreign_files
from aevlp.pipeline.files.image_formats import ENDINGS, FORMATS, HEAD, format_of
from aevlp.pipeline.images.read import read_image, read_pixels

ROOT = Path(__file__).resolve().parent.parent
READ = set(FORMATS) - {"HEIF"}  # by Pillow itself


def failure(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        read_image(path)
    assert caught.value.status == "unreadable"
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    with pytest.raises(ImageError) as fast:
        read_pixels(path, decoder="simplejpeg")
    assert str(fast.value) == message
    return message.removeprefix(f"{path}: ")


def test_each_sample_is_what_pillow_takes_for_its_format() -> None:
    """A sample that Pillow would not know would prove nothing."""
    for name, content in of_every_format().items():
        with Image.open(io.BytesIO(content), formats=[name]) as file:
            assert (file.format or "").upper() == name


def test_pictures_of_the_list_are_read_and_all_others_of_pillows_are_named(tmp_path: Path) -> None:
    samples = of_every_format()
    assert len(samples) >= 43 and set(samples) > READ - {"MPO"}
    for name, content in samples.items():
        path = tmp_path / "photo.jpg"  # the ending says nothing
        if name in READ:
            path.write_bytes(content)
            with Image.open(io.BytesIO(content)) as file:
                np.testing.assert_array_equal(np.asarray(read_image(path)), np.asarray(file.convert("RGB")))
        else:
            assert "expected a picture: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF, JPEG 2000, PPM or HEIC" in failure(
                path, content
            )


def test_no_decoder_that_is_not_on_the_list_sees_a_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, asked = of_every_format(), []

    def watched(name: str, decoder, accepts):
        def open_it(*given):
            asked.append(name)
            return decoder(*given)

        return open_it, accepts

    for name, (decoder, accepts) in list(Image.OPEN.items()):
        monkeypatch.setitem(Image.OPEN, name, watched(name, decoder, accepts))
    monkeypatch.setattr(Image, "open", None)
    for name, content in {**samples, **of_no_image_format()}.items():
        asked.clear()
        path = tmp_path / f"photo.{name}"
        path.write_bytes(content)
        if name in READ:
            read_image(path)
            assert asked == [name]
        else:
            with pytest.raises(ImageError):
                read_image(path)
            assert asked == []


def test_nothing_in_the_package_opens_a_picture_past_the_list() -> None:
    files = [*(ROOT / "pipeline").rglob("*.py"), *(ROOT / "stages").rglob("*.py")]
    assert len(files) > 50
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("Image.open", "PIL.Image.open"):
                assert any(given.arg == "formats" for given in node.keywords), f"{path}, line {node.lineno}"


@pytest.mark.parametrize("name", sorted(READ - {"MPO"}))
def test_a_format_is_known_by_its_first_bytes(name: str) -> None:
    content = saved(name)
    assert format_of(content[:HEAD]) == format_of(content) == name
    for length in range(12):
        assert format_of(content[:length]) in (None, name)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"BM is a text\nof two lines, or of three",
        b"P6",
        b"P7\nWIDTH 4",
        b"PF\n4 4\n",
        b"\xff\xd8 no",
        b"RIFF....AVI ",
    ],
)
def test_what_only_begins_like_a_picture_is_none(head: bytes) -> None:
    assert format_of(head) is None


@pytest.mark.parametrize(
    "brands, name",
    [
        (b"avif\0\0\0\0avifmif1", "AVIF"),
        (b"mif1\0\0\0\0mif1avif", "AVIF"),
        (b"mif1\0\0\0\0mif1heic", "HEIF"),
        (b"msf1\0\0\0\0msf1hevc", "HEIF"),
        (b"heic\0\0\0\0mif1heic", "HEIF"),
        (b"mif1\0\0\0\0mif1miaf", "HEIF"),
        (b"isom\0\0\0\0avc1mp41", None),
        (b"crx \0\0\0\1crx isom", None),
    ],
)
def test_a_box_of_brands_tells_avif_and_heic_from_videos(brands: bytes, name: str | None) -> None:
    head = (len(brands) + 8).to_bytes(4, "big") + b"ftyp" + brands
    assert format_of(head + b"avif" * 4) == name  # what follows the box is none of its brands


@pytest.mark.parametrize(
    "content, found",
    [
        (POSTSCRIPT, "a PostScript file"),
        (LFS_POINTER, "a Git LFS pointer, not the picture itself (run git lfs pull in its repository)"),
        (b"", "the file is empty"),
        (bytes(5), "nothing but zeros"),
        (b"\n <!-- saved --> <HTML>", "an HTML page, as a failed download leaves it"),
        (b"\xef\xbb\xbf<!doctype html>", "an HTML page, as a failed download leaves it"),
        (b'<svg width="1"/>', "an SVG drawing"),
        (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "an XML file that begins with \"<?xml version='1.0'?>"),
        (b"404: Not Found", "a text that begins with '404: Not Found'"),
        ("Größe\r\n".encode("utf-16"), "a text that begins with 'Größe'"),
        (b"x" * 39 + "äöü".encode() * 2000, "a text that begins with '" + "x" * 39 + "ä…'"),
        (b"RIFF\0\0\0\0WAVEfmt ", "a WAVE recording"),
        (b"\0\0\0\x20ftypM4V \0\0\0\0", "an MP4 or QuickTime video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "a JPEG XL picture"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"\x89PNG\n\x1a\n", "a PNG file damaged at its beginning, as by a transfer as text"),
        (b"\x00\x01\x02\x03\x04", "of no known kind"),
    ],
)
def test_a_file_that_is_no_picture_is_named_for_what_it_is(tmp_path: Path, content: bytes, found: str) -> None:
    assert failure(tmp_path / "photo.jpg", content).startswith(found)


@each(seed=range(20))
def test_any_bytes_have_a_name_of_one_line(seed: int) -> None:
    random = np.random.default_rng(seed)
    content = random.bytes(int(random.integers(1, 3000)))
    for head in (content, bytes(b % 128 for b in content), content.replace(b"\0", b"\n")):
        name = foreign_files.name_of(head[: foreign_files.HEAD])
        assert name and name.isprintable()


def test_a_jpeg_with_more_pictures_behind_it_is_its_first(tmp_path: Path) -> None:
    scene().save(tmp_path / "a.mpo", "MPO", save_all=True, append_images=[Image.new("RGB", (8, 8))], quality=95)
    scene().save(tmp_path / "a.jpg", quality=95)
    with Image.open(tmp_path / "a.mpo") as file:
        assert (file.format, getattr(file, "n_frames", 1)) == ("MPO", 2)
    for decoder in ("pillow", "simplejpeg"):
        np.testing.assert_array_equal(read_pixels(tmp_path / "a.mpo", decoder=decoder), read_pixels(tmp_path / "a.jpg"))


def test_every_ending_of_a_format_is_one_of_the_list() -> None:
    Image.init()
    known = {ending for ending, name in Image.registered_extensions().items() if name in READ}
    assert known <= ENDINGS
    assert not {".eps", ".mpg", ".h5", ".pdf", ".wmf", ".tga"} & ENDINGS


def test_heic_is_read_where_its_decoder_is_installed(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    heif.from_pillow(scene()).save(tmp_path / "photo.heic", quality=-1, chroma=444)
    pixels = np.asarray(read_image(tmp_path / "photo.heic")).astype(int)
    assert np.abs(pixels - np.asarray(scene())).max() <= 8
    assert format_of((tmp_path / "photo.heic").read_bytes()[:HEAD]) == "HEIF"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_heic_is_turned_once(tmp_path: Path, orientation: int) -> None:
    heif = pytest.importorskip("pillow_heif")
    entries = exif([(0x0112, 3, 1, bytes([orientation, 0, 0, 0])), (0x011A, 7, 4, b"72/1")])
    heif.from_pillow(scene()).save(tmp_path / "photo.heic", quality=-1, chroma=444, exif=b"Exif\0\0" + entries)
    scene().save(tmp_path / "photo.png", exif=entries)
    pixels, expected = (np.asarray(read_image(tmp_path / f"photo.{kind}")).astype(int) for kind in ("heic", "png"))
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).max() <= 8


@pytest.mark.parametrize("brand", [b"heic", b"heix", b"mif1"])
def test_heic_without_its_decoder_is_named_with_the_extra(tmp_path: Path, monkeypatch, brand: bytes) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    content = b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0mif1heic" + bytes(100)
    assert failure(tmp_path / "photo.jpg", content) == "a HEIC picture, which needs pip install 'aevlp[heic]'"


@pytest.mark.parametrize("name", ["AVIF", "WEBP", "JPEG2000"])
def test_a_format_that_this_pillow_was_built_without_is_named(tmp_path: Path, monkeypatch, name: str) -> None:
    content, (decoder, _) = saved(name), Image.OPEN[name]
    monkeypatch.setitem(Image.OPEN, name, (decoder, lambda head: "support not installed"))
    assert "which Pillow " in failure(tmp_path / "photo", content)
    monkeypatch.delitem(Image.OPEN, name)
    monkeypatch.setattr(Image, "init", lambda: True)
    assert "pip install -U pillow" in failure(tmp_path / "photo", content)


TRACED = """
import json, sys
from pathlib import Path
from aevlp.pipeline.datasets.dataset_check import check_dataset
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.stages.commands import app as cli
from aevlp.stages.data import check
whole = sys.argv[1] == "whole"
if whole:
    import timm, aevlp.pipeline.clip.encoder, aevlp.pipeline.losses  # torch looks around on the machine
    import aevlp.stages.stage_two.labels_plan
started = []
EVENTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty", "os.system", "os.spawn", "os.startfile")
sys.addaudithook(lambda event, given: started.append(f"{event} {given}") if event in EVENTS else None)
manifest = Path(sys.argv[2])
if whole:
    try:
        cli.main(["check", str(manifest), "--json"])
    except SystemExit:
        pass
else:
    print(json.dumps({"photos": check._as_json(check_dataset(load_manifest(manifest)["photos"], manifest.parent))}))
before = list(started)
from PIL import Image
try:
    Image.open(sys.argv[3]).load()
except Exception:
    pass
print(json.dumps([before, started]), file=sys.stderr)
"""


@pytest.mark.process
@pytest.mark.parametrize("part", ["reading", pytest.param("whole", marks=pytest.mark.slow)])
def test_a_check_of_files_of_every_kind_starts_no_program_and_reads_or_names_each(tmp_path: Path, part: str) -> None:
    """Traced from within and by a stand-in for Ghostscript; Pillow left to itself shows that both see it."""
    folder, log = tmp_path / "data", tmp_path / "ran.log"
    folder.mkdir()
    files = {f"pillow-{name}.jpg": content for name, content in of_every_format().items()}
    files |= {f"foreign-{name}.png": content for name, content in of_no_image_format().items()}
    assert len(of_no_image_format()) >= 12
    for name, content in files.items():
        (folder / name).write_bytes(content)
    rows = "\n".join(f"{name},{'cat' if n % 2 else 'dog'}" for n, name in enumerate(files))
    (folder / "labels.csv").write_text(f"image,labels\n{rows}\n")
    (folder / "photos.yaml").write_text(
        "datasets:\n  photos:\n    title: P\n    format: table\n    table: labels.csv\n    recipe: {backbone: linear}\n"
    )
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "gs").write_text(f'#!/bin/sh\necho gs "$@" >> {log}\n')
    (tmp_path / "bin" / "gs").chmod(0o755)
    (tmp_path / "program.py").write_text(TRACED)
    done = subprocess.run(
        [sys.executable, tmp_path / "program.py", part, folder / "photos.yaml", folder / "pillow-EPS.jpg"],
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
        env={"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), "HOME": str(tmp_path)},
    )
    before, after = json.loads(done.stderr.splitlines()[-1])
    assert before == []
    assert any("gs" in event for event in after) and "gs" in log.read_text()  # Pillow's own doing, after the check
    (report,) = json.loads(done.stdout).values()
    assert report["images"] == len(files)
    named = {fault["text"].partition(": ")[0].rpartition("/")[2] for fault in report["faults"] if fault["serious"]}
    assert named == set(files) - {f"pillow-{name}.jpg" for name in READ}
