"""An archive is unpacked whole, below its folder and nowhere else, or refused before anything is written."""

import gzip
import io
import os
import random
import shutil
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refusals import one_line

from aevlp.pipeline.files import unpack as module
from aevlp.pipeline.files.unpack import unpack

SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
FILES = {
    "VOC/images/1.jpg": random.Random(1).randbytes(3000),
    "VOC/images/2.jpg": random.Random(2).randbytes(1000),
    "VOC/lists/train.txt": b"1\n2\n" * 300,
    "VOC/empty.txt": b"",
}


def tar_entry(
    name: str, kind: bytes = tarfile.REGTYPE, size: int = 0, mode: int = 0o644, link: str = ""
) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.size, entry.mode, entry.linkname = kind, size, mode, link
    return entry


def write(archive: Path, files: dict[str, bytes], folders: tuple[str, ...] = (), mode: int = 0o644) -> Path:
    """Write an archive with the standard library, folders first."""
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
            for folder in folders:
                file.writestr(zipfile.ZipInfo(f"{folder}/"), b"")
            for name, content in files.items():
                entry = zipfile.ZipInfo(name)
                entry.external_attr = (stat.S_IFREG | mode) << 16
                entry.compress_type = zipfile.ZIP_DEFLATED
                file.writestr(entry, content)
    else:
        with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as file:
            for folder in folders:
                file.addfile(tar_entry(folder, tarfile.DIRTYPE, mode=0o755))
            for name, content in files.items():
                file.addfile(tar_entry(name, size=len(content), mode=mode), io.BytesIO(content))
    return archive


def write_tar(archive: Path, *entries: tarfile.TarInfo) -> Path:
    """Write a tar of empty entries after a good file."""
    with tarfile.open(archive, "w" if archive.suffix == ".tar" else "w:gz") as file:
        file.addfile(tar_entry("good.txt", size=4), io.BytesIO(b"good"))
        for entry in entries:
            file.addfile(entry)
    return archive


def write_zip(archive: Path, name: str, mode: int) -> Path:
    """Write a zip with a good file and an entry of another mode."""
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("good.txt", b"good")
        entry = zipfile.ZipInfo(name)
        entry.external_attr = mode << 16
        file.writestr(entry, b"/etc/passwd")
    return archive


def ignore(done: int, whole: int) -> None:
    pass


def found(folder: Path) -> dict[str, bytes]:
    """Every file below a folder; a name that nobody planted would show."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if not p.is_dir()}


@contextmanager
def untouched(folder: Path) -> Iterator[None]:
    """Nothing is written below a folder, nor a folder made."""
    before = {p: p.lstat().st_mtime_ns for p in folder.rglob("*")}
    yield
    assert {p: p.lstat().st_mtime_ns for p in folder.rglob("*")} == before


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".ZIP"])
def test_all_files_are_there_and_progress_counts_their_bytes(tmp_path: Path, suffix: str) -> None:
    told: list[tuple[int, int]] = []
    archive = write(tmp_path / f"a{suffix.lower()}", FILES, ("VOC", "VOC/images", "VOC/no files"))
    archive = archive.rename(tmp_path / f"a{suffix}")
    target = tmp_path / "data" / "voc"
    unpack(archive, target, lambda done, whole: told.append((done, whole)))
    assert found(target) == FILES
    assert (target / "VOC" / "no files").is_dir()
    whole = sum(map(len, FILES.values()))
    assert told[0] == (0, whole)
    assert told[-1] == (whole, whole)
    assert told == sorted(told)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_archive_of_nothing_unpacks_to_nothing(tmp_path: Path, suffix: str) -> None:
    unpack(write(tmp_path / f"a{suffix}", {}), tmp_path / "out", ignore)
    assert (tmp_path / "out").is_dir()
    assert found(tmp_path / "out") == {}


names = st.text(st.characters(exclude_characters="/\\\0:", exclude_categories=("Cs",)), min_size=1, max_size=12)
paths = st.lists(names.filter(lambda n: n not in (".", "..", module.TEMPORARY)), min_size=1, max_size=3).map("/".join)


@settings(max_examples=60, deadline=None)
@given(
    files=st.dictionaries(paths, st.binary(max_size=100), max_size=5).filter(
        lambda files: not any(b.startswith(f"{a}/") for a in files for b in files)
    ),
    suffix=st.sampled_from(SUFFIXES),
)
def test_any_names_and_contents_come_out_as_they_went_in(files: dict[str, bytes], suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        unpack(write(Path(folder) / f"a{suffix}", files), Path(folder) / "out", ignore)
        assert found(Path(folder) / "out") == files


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("../evil.txt", "leads upwards"),
        ("a/../../evil.txt", "leads upwards"),
        ("a/..", "leads upwards"),
        ("..", "leads upwards"),
        ("a\\..\\..\\evil.txt", "leads upwards"),
        ("/evil.txt", "absolute path"),
        ("//evil.txt", "absolute path"),
        ("\\evil.txt", "absolute path"),
        ("\\\\server\\share\\evil.txt", "absolute path"),
        ("C:\\evil.txt", "absolute path"),
        ("C:evil.txt", "absolute path"),
        (".", "no name"),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused_before_anything_is_written(
    tmp_path: Path, suffix: str, name: str, fault: str
) -> None:
    archive = write(tmp_path / f"a{suffix}", {"good.txt": b"good", name: b"evil"})
    with untouched(tmp_path), one_line(f"a{suffix}: the member .* {fault}"):
        unpack(archive, tmp_path / "deep" / "out", ignore)


def test_the_member_is_named_in_the_error(tmp_path: Path) -> None:
    with one_line(r"the member '\.\./evil\\n\.txt' leads"):
        unpack(write(tmp_path / "a.tar", {"../evil\n.txt": b""}), tmp_path / "out", ignore)


def test_a_nul_in_a_name_is_refused(tmp_path: Path) -> None:
    in_zip = write(tmp_path / "a.zip", {"good.txt": b"good", "evilX.txt": b"evil"})
    in_zip.write_bytes(in_zip.read_bytes().replace(b"evilX", b"evil\0"))
    in_tar = tmp_path / "a.tar"
    with tarfile.open(in_tar, "w", format=tarfile.PAX_FORMAT) as file:
        entry = tar_entry("evil")
        entry.pax_headers = {"path": "evil\0.txt"}
        file.addfile(entry)
    for archive in (in_zip, in_tar):
        with untouched(tmp_path), one_line("has a NUL in its name"):
            unpack(archive, tmp_path / "out", ignore)


@pytest.mark.parametrize("suffix", [".tar", ".tgz"])
@pytest.mark.parametrize(
    ("kind", "link", "fault"),
    [
        (tarfile.SYMTYPE, "/etc", "is a symbolic link"),
        (tarfile.SYMTYPE, "good.txt", "is a symbolic link"),
        (tarfile.LNKTYPE, "/etc/passwd", "is a hard link"),
        (tarfile.LNKTYPE, "good.txt", "is a hard link"),
        (tarfile.FIFOTYPE, "", "is a fifo"),
        (tarfile.CHRTYPE, "", "is neither file nor folder"),
        (tarfile.BLKTYPE, "", "is neither file nor folder"),
        (b"Z", "", "is neither file nor folder"),
    ],
)
def test_a_tar_holds_files_and_folders_only(tmp_path: Path, suffix: str, kind: bytes, link: str, fault: str) -> None:
    archive = write_tar(tmp_path / f"a{suffix}", tar_entry("planted", kind, link=link))
    with untouched(tmp_path), one_line(f"the member 'planted' {fault}"):
        unpack(archive, tmp_path / "out", ignore)


@pytest.mark.parametrize("name", ["planted", "planted/"])
@pytest.mark.parametrize(
    ("mode", "fault"),
    [
        (stat.S_IFLNK | 0o777, "is a symbolic link"),
        (stat.S_IFIFO | 0o644, "is a fifo"),
        (stat.S_IFCHR | 0o644, "is neither file nor folder"),
        (stat.S_IFBLK | 0o644, "is neither file nor folder"),
        (stat.S_IFSOCK | 0o644, "is neither file nor folder"),
    ],
)
def test_a_zip_holds_files_and_folders_only(tmp_path: Path, name: str, mode: int, fault: str) -> None:
    archive = write_zip(tmp_path / "a.zip", name, mode)
    with untouched(tmp_path), one_line(f"the member '{name}' {fault}"):
        unpack(archive, tmp_path / "out", ignore)


@pytest.mark.parametrize("first", ["a", "./a"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_the_same_path_twice_is_refused(tmp_path: Path, first: str) -> None:
    in_tar = write_tar(tmp_path / "a.tar", tar_entry(first), tar_entry("a"))
    in_zip = tmp_path / "a.zip"
    with zipfile.ZipFile(in_zip, "w") as file:
        file.writestr(first, b"1")
        file.writestr("a", b"2")
    for archive in (in_tar, in_zip):
        with untouched(tmp_path), one_line("the member 'a' is there twice"):
            unpack(archive, tmp_path / "out", ignore)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_that_is_also_a_folder_is_refused(tmp_path: Path, suffix: str) -> None:
    below = write(tmp_path / f"below{suffix}", {"a": b"1", "a/b": b"2"})
    above = write(tmp_path / f"above{suffix}", {"a/b": b"2", "a": b"1"})
    folder = write(tmp_path / f"folder{suffix}", {"a": b"1"}, ("a",))
    for archive in (below, above, folder):
        with untouched(tmp_path), one_line("'a' is a file and a folder"):
            unpack(archive, tmp_path / "out", ignore)


def test_a_folder_may_be_listed_twice(tmp_path: Path) -> None:
    unpack(write(tmp_path / "a.tar", {"a/b": b"2"}, ("a", "a", ".")), tmp_path / "out", ignore)
    assert found(tmp_path / "out") == {"a/b": b"2"}


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("there", [True, False])
def test_a_link_on_the_disk_that_leads_outside_is_not_followed(tmp_path: Path, suffix: str, there: bool) -> None:
    outside, target = tmp_path / "outside", tmp_path / "out"
    if there:
        outside.mkdir()
    target.mkdir()
    (target / "VOC").symlink_to(outside)
    for files, folders in ((FILES, ()), ({}, ("VOC/new",)), ({}, ("VOC",))):
        archive = write(tmp_path / f"a{suffix}", {"good.txt": b"good", **files}, folders)
        with untouched(tmp_path), one_line(f"out/VOC.* leads to {outside}.*remove the link"):
            unpack(archive, target, ignore)


def test_links_on_the_disk_that_stay_inside_or_are_the_folder_itself_are_followed(tmp_path: Path) -> None:
    (tmp_path / "big disk" / "elsewhere").mkdir(parents=True)
    (tmp_path / "big disk" / "VOC").symlink_to("elsewhere")
    (tmp_path / "out").symlink_to("big disk")
    unpack(write(tmp_path / "a.tar", FILES), tmp_path / "out", ignore)
    assert (tmp_path / "big disk" / "elsewhere" / "images" / "1.jpg").read_bytes() == FILES["VOC/images/1.jpg"]


def test_a_link_in_the_place_of_a_file_is_replaced_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    for name in ("a.txt", module.TEMPORARY):
        (tmp_path / "out" / name).symlink_to(outside)
    (tmp_path / "out" / "b.txt").symlink_to("four")
    # as long as what the one link leads to, and as long as the other link
    unpack(write(tmp_path / "a.tar", {"a.txt": b"four", "b.txt": b"four"}), tmp_path / "out", ignore)
    assert outside.read_bytes() == b"mine"
    assert not any(p.is_symlink() for p in (tmp_path / "out").iterdir())
    assert found(tmp_path / "out") == {"a.txt": b"four", "b.txt": b"four"}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_permissions_are_plain(tmp_path: Path, suffix: str) -> None:
    archive = write(tmp_path / f"a{suffix}", {"run": b"#!/bin/sh"}, mode=0o6777)
    unpack(archive, tmp_path / "out", ignore)
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "out" / "run").stat().st_mode == (tmp_path / "plain").stat().st_mode


@settings(max_examples=60, deadline=None)
@given(suffix=st.sampled_from(SUFFIXES), cut=st.floats(0, 1, exclude_max=True))
def test_an_archive_cut_short_anywhere_is_refused_before_anything_is_written(suffix: str, cut: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        archive = write(Path(folder) / f"a{suffix}", FILES)
        content = archive.read_bytes()
        if suffix == ".tar":  # a tar ends with its first block of zeros; what follows is padding
            content = content[: sum(512 + -(-len(c) // 512) * 512 for c in FILES.values()) + 512]
            archive.write_bytes(content)
            unpack(archive, Path(folder) / "whole", ignore)
        archive.write_bytes(content[: int(cut * len(content))])
        with untouched(Path(folder)), one_line(f"cannot read .*a{suffix}: .*download it again"):
            unpack(archive, Path(folder) / "out", ignore)


@settings(max_examples=60, deadline=None)
@given(suffix=st.sampled_from(SUFFIXES[1:]), block=st.integers(0, 3))
def test_a_damaged_header_is_not_taken_for_the_end(suffix: str, block: int) -> None:
    lengths = [512 + -(-len(c) // 512) * 512 for c in FILES.values()]
    with tempfile.TemporaryDirectory() as folder:
        content = bytearray(write(Path(folder) / "good.tar", FILES).read_bytes())
        content[sum(lengths[:block]) + 148] ^= 1  # a digit of the checksum
        archive = Path(folder) / f"a{suffix}"
        archive.write_bytes(content if suffix == ".tar" else gzip.compress(content))
        with untouched(Path(folder)), one_line("cannot read"):
            unpack(archive, Path(folder) / "out", ignore)


def test_damaged_content_of_a_tgz_is_noticed_before_anything_is_written(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.tgz", {"a": random.Random(3).randbytes(5000)})
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1  # random bytes are stored as they are: only gzip's checksum tells
    archive.write_bytes(content)
    with untouched(tmp_path), one_line("cannot read"):
        unpack(archive, tmp_path / "out", ignore)


def test_a_damaged_file_in_a_zip_never_gets_its_name(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", {"a": b"1", "b": random.Random(3).randbytes(5000), "c": b"3"})
    content = bytearray(archive.read_bytes())
    content[len(content) // 2] ^= 1
    archive.write_bytes(content)
    with one_line("cannot read .*'b'"):
        unpack(archive, tmp_path / "out", ignore)
    assert found(tmp_path / "out") == {"a": b"1"}


def test_a_file_in_a_zip_that_is_shorter_than_stated_never_gets_its_name(tmp_path: Path) -> None:
    archive = write(tmp_path / "a.zip", {"a": b"12345"})
    content = bytearray(archive.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, 6)
    archive.write_bytes(content)
    with one_line("'a' has 5 bytes, expected 6"):
        unpack(archive, tmp_path / "out", ignore)
    assert found(tmp_path / "out") == {}


def test_a_negative_size_does_not_turn_in_a_circle(tmp_path: Path) -> None:
    archive = tmp_path / "a.tar"
    with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as file:
        entry = tar_entry("a")
        entry.pax_headers = {"size": "-1024"}
        file.addfile(entry)
    with untouched(tmp_path), one_line("'a' has a size of -1024 bytes"):
        unpack(archive, tmp_path / "out", ignore)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"<html>Not Found</html>" * 100, None])
def test_what_is_no_archive_is_one_clear_line(tmp_path: Path, suffix: str, content: bytes | None) -> None:
    archive = tmp_path / f"a{suffix}"
    if content is not None:
        archive.write_bytes(content)
    with untouched(tmp_path), one_line(f"cannot read .*a{suffix}: "):
        unpack(archive, tmp_path / "out", ignore)


@pytest.mark.parametrize("name", ["a.rar", "a", "a.tar.xz", "tgz"])
def test_another_format_is_refused_by_its_name(tmp_path: Path, name: str) -> None:
    archive = write(tmp_path / "a.tar", FILES).rename(tmp_path / name)
    with untouched(tmp_path), one_line(r"expected a name that ends in \.zip, \.tar, \.tar\.gz, \.tgz"):
        unpack(archive, tmp_path / "out", ignore)


@settings(max_examples=40, deadline=None)
@given(suffix=st.sampled_from(SUFFIXES), after=st.integers(0, 4000))
def test_an_interrupted_call_leaves_whole_files_only_and_goes_on(suffix: str, after: int) -> None:
    whole = sum(map(len, FILES.values()))
    told: list[int] = []

    def interrupt(done: int, _: int) -> None:
        if done > after:
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "CHUNK", 300)
        archive, target = write(Path(folder) / f"a{suffix}", FILES), Path(folder) / "out"
        with pytest.raises(KeyboardInterrupt):
            unpack(archive, target, interrupt)
        kept = found(target)
        assert kept.items() <= FILES.items()
        inodes = {name: (target / name).stat().st_ino for name in kept}
        unpack(archive, target, lambda done, _: told.append(done))
        assert found(target) == FILES
        assert inodes == {name: (target / name).stat().st_ino for name in kept}
    assert told[0] == sum(map(len, kept.values()))
    assert told[-1] == whole


def test_what_a_killed_process_left_is_overwritten(tmp_path: Path) -> None:
    images = tmp_path / "out" / "VOC" / "images"
    images.mkdir(parents=True)
    (images / module.TEMPORARY).write_bytes(b"half a picture")
    (images / "1.jpg").write_bytes(b"a file of another length")
    unpack(write(tmp_path / "a.tar", FILES), tmp_path / "out", ignore)
    assert found(tmp_path / "out") == FILES


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_does_not_fit_on_the_disk_is_refused_before_it_is_full(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = write(tmp_path / f"a{suffix}", {"bomb": bytes(200_000), "small": b"123"})
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=200_002))
    with untouched(tmp_path), one_line("200,003 bytes are needed, 200,002 free"):
        unpack(archive, tmp_path / "not" / "there", ignore)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "small").write_bytes(b"123")  # what is there needs no room
    unpack(archive, tmp_path / "out", ignore)
    assert (tmp_path / "out" / "bomb").stat().st_size == 200_000


def test_a_small_tar_of_a_huge_file_of_holes_is_refused(tmp_path: Path) -> None:
    header = bytearray(tar_entry("bomb", tarfile.GNUTYPE_SPARSE).tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"\x80" + (1 << 60).to_bytes(11, "big")  # the size with the holes
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    archive = tmp_path / "a.tar"
    archive.write_bytes(bytes(header) + bytes(1024))
    with untouched(tmp_path), one_line(f"{1 << 60:,} bytes are needed"):
        unpack(archive, tmp_path / "out", ignore)


def test_a_folder_in_the_place_of_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "out" / "a").mkdir(parents=True)
    with one_line("cannot unpack .*out/a Is a directory"):
        unpack(write(tmp_path / "a.tar", {"a": b"1"}), tmp_path / "out", ignore)


def test_a_file_in_the_place_of_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    place = tmp_path / "out" / "a"
    place.parent.mkdir()
    place.write_text("mine")
    for files, target in (({"a/b": b"1"}, tmp_path / "out"), ({"b": b"1"}, place)):
        with one_line(f"cannot unpack .*{place}"):
            unpack(write(tmp_path / "a.tar", files), target, ignore)
    assert found(tmp_path / "out") == {"a": b"mine"}


def test_a_write_that_fails_names_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: Path, target: Path) -> None:
        raise OSError(28, os.strerror(28), str(source), None, str(target))

    monkeypatch.setattr(Path, "replace", full)
    with one_line("cannot unpack .*out/a No space left on device; what is unpacked stays"):
        unpack(write(tmp_path / "a.tar", {"a": b"1"}), tmp_path / "out", ignore)
    assert found(tmp_path / "out") == {}
