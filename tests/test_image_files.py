"""Which files of a folder are pictures, and what is said of the others."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import call
from dataset_files import tar_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from laws import each
from PIL import Image

from aevlp.pipeline.datasets import load_images
from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files.file_reading import HIDDEN, KINDS, NO_PICTURE, NOT_TEXT, find_pictures, kinds_counted
from aevlp.pipeline.files.image_formats import ENDINGS
from aevlp.pipeline.files.tar_files import tar_members
from aevlp.pipeline.manifest.load import load_manifest
from aevlp.stages.prediction.image_names import find_images

SAVED = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "BMP": ".bmp", "TIFF": ".tif", "AVIF": ".avif",
         "JPEG2000": ".jp2", "PPM": ".ppm", "MPO": ".mpo"}  # fmt: skip


def picture(kind: str = "PNG", seed: int = 0) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (9, 8, 3), dtype=np.uint8)).save(file, kind)
    return file.getvalue()


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_pictures(folder).images]


@pytest.mark.parametrize("kind", sorted(SAVED))
def test_a_picture_counts_without_an_ending_and_under_a_strange_one(tmp_path: Path, kind: str) -> None:
    content = picture(kind)
    write(
        tmp_path, {"photo": content, "photo.2024": content, "photo.jpg_large": content, f"photo{SAVED[kind]}": content}
    )
    assert names(tmp_path) == sorted(["photo", "photo.2024", "photo.jpg_large", f"photo{SAVED[kind]}"])


@each(ending=sorted(ENDINGS))
def test_every_known_ending_counts_in_any_case(tmp_path: Path, ending: str) -> None:
    """Also of a file that cannot be read: reading it says why, passing it over would not."""
    write(tmp_path, {f"a{ending}": b"", f"b{ending.upper()}": b"", f"c{ending.title()}": b"x"})
    assert len(names(tmp_path)) == 3


@pytest.mark.parametrize(
    "name",
    ["._a.jpg", ".thumbnails/a.jpg", "__MACOSX/a.jpg", "__MACOSX/deep/._a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg", "Thumbs.db",
     "desktop.ini", ".DS_Store", "b/.cache/c.png", "$RECYCLE.BIN/x.jpg"],
)  # fmt: skip
def test_what_systems_leave_behind_is_left_out_and_counted(tmp_path: Path, name: str) -> None:
    found = find_pictures(write(tmp_path, {name: picture(), "a.jpg": picture()}))
    assert [path.name for path in found.images] == ["a.jpg"]
    assert found.left_out == {HIDDEN: [name]}


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("clip.mp4", b"\0\0\0\x18ftypmp42", "videos"),
        ("film.mpg", b"\0\0\1\xba", "videos"),
        ("drawing.eps", b"%!PS-Adobe-3.0 EPSF-3.0", "files of documents or drawings"),
        ("features.h5", b"\x89HDF\r\n\x1a\n", "files of arrays or weights"),
        ("labels.csv", b"image,labels", "files of text or tables"),
        ("photo.nef", b"II*\0", "camera raw files"),
        ("photo.DNG", b"II*\0", "camera raw files"),
        ("all.zip", b"PK\3\4", "archives"),
        ("layers.psd", b"8BPS", "pictures of a format that is not read"),
        ("notes", b"to do", NO_PICTURE),
        ("clip", b"\0\0\0\x18ftypmp42", NO_PICTURE),
        ("photo.dat", b"%!PS-Adobe-3.0 EPSF-3.0", NO_PICTURE),
        ("empty", b"", NO_PICTURE),
    ],
)
def test_what_is_no_picture_is_left_out_and_named_by_its_kind(
    tmp_path: Path, name: str, content: bytes, kind: str
) -> None:
    found = find_pictures(write(tmp_path, {name: content, "a.jpg": picture()}))
    assert found.left_out == {kind: [name]}


def test_what_is_left_out_is_said_in_one_line() -> None:
    assert kinds_counted({"videos": ["a.mp4"]}) == "1 video (a.mp4)"
    assert kinds_counted({HIDDEN: ["._a", "._b"], NO_PICTURE: ["notes"]}) == (
        "2 hidden or system files (._a, ._b) and 1 file of no picture (notes)"
    )
    for kind in {*KINDS, HIDDEN, NO_PICTURE, NOT_TEXT}:
        one, two = (kinds_counted({kind: ["a", "b"][:n]}) for n in (1, 2))
        assert one.partition(" (")[0] == re.sub(r"(file|picture|video|archive)s", r"\1", f"1 {kind}") != f"1 {kind}"
        assert not re.search(r"\b(are|whose)\b", one) and two == f"2 {kind} (a, b)"
    many = kinds_counted({"videos": [f"{n}.mp4" for n in range(1200)], "archives": ["a.zip"], NO_PICTURE: ["a\nb"]})
    assert many == (r"1,200 videos (0.mp4, 1.mp4, 2.mp4, …), 1 archive (a.zip) and 1 file of no picture (a\nb)")


STEMS = st.text("abc1_é-", min_size=1, max_size=3)
FILES = st.dictionaries(
    st.tuples(
        st.sampled_from(["", "sub/", ".hidden/", "__MACOSX/", "x/y/"]),
        STEMS,
        st.sampled_from(["", ".jpg", ".AVIF", ".txt", ".q"]),
    ),
    st.sampled_from([b"", b"text", b"\xff\xd8\xff\xe0", b"GIF89a", b"%!PS", b"\x89PNG\r\n\x1a\n"]),
    max_size=8,
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES)
def test_every_file_is_a_picture_or_is_named(
    tmp_path_factory: pytest.TempPathFactory, files: dict[tuple[str, str, str], bytes]
) -> None:
    """Nothing is passed over in silence; what counts equals a slow rule."""
    root = write(tmp_path_factory.mktemp("any"), {"".join(parts): content for parts, content in files.items()})
    found = find_pictures(root)
    named = [name for kind in found.left_out.values() for name in kind]
    pictures = {path.relative_to(root).as_posix() for path in found.images}
    assert sorted([*pictures, *named]) == sorted("".join(parts) for parts in files)
    expected = {
        folder + stem + ending
        for (folder, stem, ending), content in files.items()
        if folder not in (".hidden/", "__MACOSX/")
        and (ending in (".jpg", ".AVIF") or (ending in ("", ".q") and content[:1] in b"\xffG\x89" and content))
    }
    assert pictures == expected


def test_a_folder_of_classes_says_what_it_leaves_out(tmp_path: Path) -> None:
    content = picture()
    write(tmp_path, {"cat/1": content, "cat/2.jfif": content, "cat/._1.jpg": content, "dog/a.mp4": b"x", "dog/3.png": content,
                     "cover.png": content, "__MACOSX/cat/1.jpg": content})  # fmt: skip
    (tmp_path / "pets.yaml").write_text("datasets: {pets: {title: x, format: image_folder}}")
    images = load_images(load_manifest(tmp_path / "pets.yaml")["pets"], tmp_path)
    assert images.classes == ("cat", "dog")
    assert images.ids.tolist() == ["cat/1", "cat/2.jfif", "dog/3.png"]
    (remark,) = images.remarks
    assert remark.kind == "left out"
    for part in (
        "2 hidden or system files (__MACOSX/cat/1.jpg, cat/._1.jpg)",
        "1 video (dog/a.mp4)",
        "1 picture in no class's folder (cover.png)",
        "1 file of text or tables (pets.yaml)",
    ):
        assert part in remark.text


@pytest.mark.parametrize("splits", ["{train: ., test: test}", "{train: a, test: a}", "{val: a/b, train: a}"])
def test_a_split_within_another_is_refused(tmp_path: Path, splits: str) -> None:
    write(tmp_path, {"test/cat/1.png": b"", "a/b/cat/2.png": b""})
    (tmp_path / "pets.yaml").write_text(f"datasets: {{pets: {{title: x, format: image_folder, splits: {splits}}}}}")
    with pytest.raises(AevlpError, match=r"holds that of the split .* each needs one of its own under `splits`"):
        load_images(load_manifest(tmp_path / "pets.yaml")["pets"], tmp_path)


def test_predict_takes_every_picture_of_a_folder_and_says_what_it_leaves_out(
    tmp_path: Path, run_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = write(
        tmp_path / "new",
        {"a.jpg": picture("JPEG"), "b.jfif": picture("JPEG"), "c.jpe": picture("JPEG"), "d.avif": picture("AVIF"),
         "e": picture("WEBP"), "f.mpo": picture("MPO"), "._a.jpg": b"x", ".thumbnails/a.jpg": picture(), "g.mov": b"x"},
    )  # fmt: skip
    assert call("predict", run_path, new, "--workers", 0, "--device", "cpu") == 0
    shown = capsys.readouterr()
    assert "6 images labelled" in shown.out
    assert "2 hidden or system files (._a.jpg, .thumbnails/a.jpg) and 1 video (g.mov)" in shown.err


def test_predict_on_a_folder_without_a_picture_names_what_is_there(tmp_path: Path) -> None:
    write(tmp_path, {"a.mp4": b"x", "notes": b"x"})
    with pytest.raises(AevlpError, match=r"no image file in the folder .*1 video \(a\.mp4\) and 1 file of no picture"):
        find_images([str(tmp_path)])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.lists(st.integers(0, 1500), max_size=3), min_size=1, max_size=4),
    padding=st.lists(st.integers(0, 30), min_size=4, max_size=4),
)
def test_joined_tars_are_read_to_the_end(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[list[int]], padding: list[int]
) -> None:
    file = tmp_path_factory.mktemp("tars") / "all.tar"
    parts = [{f"{n}-{k}": bytes([n + k + 1]) * size for k, size in enumerate(part)} for n, part in enumerate(sizes)]
    file.write_bytes(b"".join(tar_of(part) + bytes(512 * p) for part, p in zip(parts, padding, strict=False)))
    whole = file.read_bytes()
    found = {name: whole[at : at + size] for name, (at, size) in tar_members(file).items()}
    assert found == {name: content for part in parts for name, content in part.items()}


@pytest.mark.parametrize(
    ("behind", "fault"),
    [
        (b"x" * 700, "not a whole, uncompressed tar"),
        (tar_of({"b": b"y" * 3000})[:2000], "not a whole, uncompressed tar"),
        (tar_of({"a": b"again"}), "stands there twice (several tars were joined to this one)"),
        (tar_of({"../b": b"y"}), "leads out of the tar"),
    ],
)
def test_what_is_joined_and_cannot_be_read_is_refused(tmp_path: Path, behind: bytes, fault: str) -> None:
    (tmp_path / "all.tar").write_bytes(tar_of({"a": b"x"}) + behind)
    with pytest.raises(AevlpError) as caught:
        tar_members(tmp_path / "all.tar")
    assert fault in str(caught.value)


def test_samples_of_every_format_are_found_and_what_is_of_no_sample_is_named(tmp_path: Path) -> None:
    files = {"0.avif": b"x", "0.json": b'["cat"]', "1.jfif": b"x", "1.json": b'["dog"]', "._1.jfif": b"x", "__MACOSX/1.jpg": b"x",
             "README": b"x"}  # fmt: skip
    (tmp_path / "a.tar").write_bytes(tar_of(files))
    (tmp_path / "w.yaml").write_text("datasets: {w: {title: x, format: webdataset, shards: {train: a.tar}}}")
    images = load_images(load_manifest(tmp_path / "w.yaml")["w"], tmp_path)
    assert images.ids.tolist() == ["a.tar/0.avif", "a.tar/1.jfif"]
    (remark,) = images.remarks
    assert "2 hidden or system files (a.tar/._1.jfif, a.tar/__MACOSX/1.jpg)" in remark.text
    assert "1 file without an extension (a.tar/README)" in remark.text
