"""A path holds its old content or its new content, never a part of either."""

import errno
import os
from pathlib import Path

import pytest

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files.atomic_write import replacing


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def write_folder(folder: Path, **files: str) -> None:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).write_text(text)


def read_folder(folder: Path) -> dict[str, str]:
    return {p.name: p.read_text() for p in folder.iterdir()}


def test_a_file_is_replaced_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        assert temporary.parent == path.parent  # a rename is atomic inside one file system only
        assert not temporary.exists()
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_replaces_a_folder_that_holds_other_files(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    write_folder(path, one="1", two="2")
    with replacing(path) as temporary:
        write_folder(temporary, three="3")
        assert read_folder(path) == {"one": "1", "two": "2"}
    assert read_folder(path) == {"three": "3"}
    assert names(tmp_path) == ["a.parquet"]


def test_folders_above_are_made(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "first" / "a.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    "error", [ValueError("mine"), AevlpError("mine"), KeyboardInterrupt("mine"), SystemExit("mine")]
)
@pytest.mark.parametrize("folder", [False, True])
def test_an_exception_passes_through_and_leaves_everything_as_it_was(
    tmp_path: Path, error: BaseException, folder: bool
) -> None:
    path = tmp_path / "a"
    write_folder(path, one="1") if folder else path.write_text("old")
    with pytest.raises(type(error), match="mine"), replacing(path) as temporary:
        write_folder(temporary, two="2") if folder else temporary.write_text("half")
        raise error
    assert read_folder(path) == {"one": "1"} if folder else path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_an_exception_leaves_no_file_where_there_was_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), replacing(tmp_path / "a") as temporary:
        temporary.write_text("half")
        raise ValueError("mine")
    assert names(tmp_path) == []


def test_a_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(AevlpError, match=r"cannot write .*a: No space left on device"), replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a"]


def test_what_a_library_makes_of_an_error_is_left_out(tmp_path: Path) -> None:
    with pytest.raises(AevlpError) as raised, replacing(tmp_path / "a"):
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28] No space left on device")
    assert str(raised.value) == f"cannot write {tmp_path / 'a'}: No space left on device"
    with pytest.raises(AevlpError, match=r"cannot write .*a: an odd error"), replacing(tmp_path / "a"):
        raise OSError("an odd error")


def test_a_file_in_the_place_of_a_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(AevlpError, match=r"cannot write .*runs/a"), replacing(tmp_path / "runs" / "a"):
        pytest.fail("there is nowhere to write to")
    assert (tmp_path / "runs").read_text() == "a file"


def test_a_writer_that_writes_nothing_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(AevlpError, match="cannot write"), replacing(path):
        pass
    assert path.read_text() == "old"


@pytest.mark.parametrize("folder", [False, True])
def test_what_an_earlier_crash_left_is_cleared(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "a"
    with replacing(path) as temporary:
        temporary.write_text("new")
    write_folder(temporary, stale="x") if folder else temporary.write_text("stale")
    with replacing(path) as again:
        assert again == temporary
        assert not again.exists()
        again.write_text("newer")
    assert path.read_text() == "newer"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("folder", [False, True])
def test_content_reaches_the_disk_before_the_name_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    path = tmp_path / "a"
    synced: list[tuple[int, bool]] = []  # which file, and whether the new name was there already
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append((os.fstat(handle).st_ino, path.exists()))
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    with replacing(path) as temporary:
        if folder:
            write_folder(temporary, one="1", two="2")
            written = [temporary, temporary / "one", temporary / "two"]
        else:
            temporary.write_text("new")
            written = [temporary]
        inodes = {p.stat().st_ino for p in written}
    assert {inode for inode, named in synced if not named} == inodes
    assert [inode for inode, named in synced if named] == [tmp_path.stat().st_ino]


def test_a_folder_is_still_there_when_its_successor_cannot_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    write_folder(path, one="1")
    real = Path.rename

    def rename(source: Path, target: Path) -> Path:
        if Path(target) == path and (source / "two").exists():
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(source, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(AevlpError, match="Input/output error"), replacing(path) as temporary:
        write_folder(temporary, two="2")
    assert read_folder(path) == {"one": "1"}
    assert names(tmp_path) == ["a"]


def test_a_link_to_a_folder_can_be_replaced(tmp_path: Path) -> None:
    elsewhere = tmp_path / "big_disk"
    write_folder(elsewhere, one="1")
    path = tmp_path / "a"
    path.symlink_to(elsewhere, target_is_directory=True)
    with replacing(path) as temporary:
        write_folder(temporary, two="2")
    assert read_folder(path) == {"two": "2"}
    assert names(tmp_path) == ["a", "big_disk"]
