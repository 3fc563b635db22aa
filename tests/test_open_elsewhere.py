"""An .h5 that another program has open is named as such; one that was left open is recovered where it is what was written."""

import errno
import fcntl
import hashlib
import io
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import call
from hypothesis import given
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError, Notice, UnreadableNow
from aevlp.pipeline.score_cache import open_cache, open_elsewhere, open_whole_cache, recovery, write_cache
from aevlp.pipeline.score_cache.open_elsewhere import USER_BLOCK, as_closed, closed_superblock
from aevlp.pipeline.score_cache.unfinished import cut
from aevlp.pipeline.scoring.parts import PartStore
from aevlp.stages.caches.verify import find_faults
from fakes import random_cache

HOLDER = """
import sys, fcntl, h5py
path = sys.argv[1]
{opening}
print("open", flush=True)
sys.stdin.read()
"""
READ_WRITE = "file = h5py.File(path, 'r+')"
OPENINGS = {
    "r+": READ_WRITE,
    "a": "file = h5py.File(path, 'a')",
    "w": "file = h5py.File(path, 'w')",
    "another lock": "file = open(path, 'rb'); fcntl.flock(file, fcntl.LOCK_EX)",
}
LEFT = {  # and whether the bytes are those that were written, but for the note
    "r+": (READ_WRITE, True),
    "a": ("file = h5py.File(path, 'a')", True),
    "swmr": ("file = h5py.File(path, 'r+', libver='latest'); file.swmr_mode = True", True),
    "an attribute": (f"{READ_WRITE}; file.attrs['seen'] = 'today'; file.flush()", False),
    "a dataset": (f"{READ_WRITE}; file['mine'] = list(range(5000)); file.flush()", False),
    "the same code": (f"{READ_WRITE}; file['code'][0] = file['code'][0]; file['a'] = 1; file.flush()", False),
}
REFUSED = "it is not what was written any more|not a whole aevlp cache|is damaged or was changed"
CHANGED = {
    "a code": "file['code'][0] = 1 - abs(file['code'][0])",
    "a name": "file['ids'][3] = 'another'",
    "the header": "text = file['header'][()]; del file['header']; file['header'] = text.replace(b'class_1', b'class_9')",
    "a column gone": "del file['score']",
    "all gone": "file.close(); file = h5py.File(path, 'w')",
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A whole cache."""
    header, content = random_cache(rows=12)
    write_cache(tmp_path / "a.h5", header, [content])
    return tmp_path / "a.h5"


@contextmanager
def held(path: Path, opening: str) -> Iterator[None]:
    """Have another process open the file, and kill it afterwards."""
    program = HOLDER.format(opening=opening)
    holder = subprocess.Popen([sys.executable, "-c", program, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdin is not None and holder.stdout is not None
    try:
        assert holder.stdout.readline() == b"open\n"
        yield
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()


def noted(use: Callable[[], object]) -> list[str]:
    """Return what was said while something was done."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        use()
    assert all(issubclass(warning.category, Notice) for warning in found)
    return [str(warning.message) for warning in found]


# Held open


@pytest.mark.process
@pytest.mark.parametrize("opening", OPENINGS.values(), ids=OPENINGS)
def test_a_cache_that_is_held_open_is_in_use_and_nothing_else_is_said(
    path: Path, opening: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(open_elsewhere, "_TRIES", 1)
    with held(path, opening):
        before = path.read_bytes()
        for command in (("inspect", path), ("verify", path), ("cache", "diff", path, path), ("train", "--cache", path)):
            assert call(*command) == 1
            said = capsys.readouterr().err.strip()
            assert said.startswith(f"error: {path} is in use by another program") and "\n" not in said
            assert "restart" not in said and "score" not in said and "damaged" not in said
        assert path.read_bytes() == before


@pytest.mark.process
def test_the_scoring_command_never_advises_to_restart_for_a_lock(
    blocks: Path, cache_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    cache = Path(shutil.copy(cache_path, tmp_path / "c.h5"))
    made = ("--manifest", blocks / "blocks.yaml", "--storage", "float32", "--workers", 0)
    again = ("pseudolabel", "--dataset", "blocks", "--cache", cache, *made)
    with held(cache, READ_WRITE):
        capsys.readouterr()
        assert call(*again) == 1
        said = capsys.readouterr().err
        assert "is in use by another program" in said and "restart" not in said
        assert call("cache", "append", cache, "--workers", 0) == 1
        assert "is in use by another program" in capsys.readouterr().err
    assert call(*again) == 0  # left now
    printed = capsys.readouterr()
    assert "it is closed now" in printed.err and "nothing to do" in printed.out


@pytest.mark.process
def test_a_cache_that_others_only_read_is_read(path: Path) -> None:
    with held(path, "file = h5py.File(path, 'r')"):
        assert noted(lambda: find_faults(open_whole_cache(path))) == []


@pytest.mark.process
def test_what_is_opened_for_writing_while_it_is_read_is_not_called_damaged(path: Path) -> None:
    cache = open_cache(path)
    with held(path, READ_WRITE), pytest.raises(UnreadableNow, match="in use by another program"):
        cache.similarity([0])
    with pytest.raises(UnreadableNow, match="was opened for writing by another program: run this again"):
        cache.similarity([0])


# Left


@pytest.mark.process
@pytest.mark.parametrize(("opening", "same_bytes"), LEFT.values(), ids=LEFT)
def test_what_was_left_is_recovered_once_and_said(path: Path, opening: str, same_bytes: bool) -> None:
    whole, content = path.read_bytes(), list(open_cache(path).rows())
    with held(path, opening):
        pass
    with pytest.raises(OSError), h5py.File(path, "r"):
        pass
    [said] = noted(lambda: open_cache(path))
    assert said.startswith(f"{path} was opened for writing by a program that has ended without closing it; ")
    assert ("its bytes are those that were written" in said) is same_bytes
    assert ("its content agrees with its checksums" in said) is not same_bytes
    if same_bytes:
        assert path.read_bytes() == whole
    assert noted(lambda: find_faults(open_whole_cache(path))) == []
    [found] = open_whole_cache(path).rows()
    for name, values in vars(content[0]).items():
        np.testing.assert_equal(getattr(found, name), values)
    assert [file.name for file in path.parent.iterdir()] == ["a.h5"]


@pytest.mark.process
@pytest.mark.parametrize("command", ["inspect", "verify"])
def test_the_commands_say_that_a_cache_was_recovered(path: Path, command: str, capsys: pytest.CaptureFixture) -> None:
    with held(path, READ_WRITE):
        pass
    assert call(command, path) == 0
    assert "its bytes are those that were written, and it is closed now" in capsys.readouterr().err
    assert call(command, path) == 0
    assert "closed" not in capsys.readouterr().err


@pytest.mark.process
@pytest.mark.parametrize("change", CHANGED.values(), ids=CHANGED)
@pytest.mark.parametrize("opened", [open_cache, open_whole_cache])
def test_what_is_not_what_was_written_is_refused_and_kept(
    path: Path, change: str, opened: Callable[[Path], object]
) -> None:
    with held(path, f"{READ_WRITE}; {change}; file.flush()"):
        pass
    before = path.read_bytes()
    with pytest.raises(AevlpError, match=REFUSED) as caught:
        opened(path)
    assert "restart" not in str(caught.value) and not isinstance(caught.value, UnreadableNow)
    assert path.read_bytes() == before


@pytest.mark.process
def test_damage_that_hangs_hdf5_ends_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with held(path, f"{READ_WRITE}; file.attrs['a'] = 1; file.flush()"):
        pass
    monkeypatch.setattr(recovery, "SECONDS", 0)
    monkeypatch.setattr(recovery, "BYTES_A_SECOND", 1e12)
    with pytest.raises(AevlpError, match="HDF5 does not come to an end of it"):
        open_cache(path)


@pytest.mark.process
def test_a_file_that_cannot_be_written_to_is_read_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = open_cache(path).similarity(slice(None))
    with held(path, READ_WRITE):
        pass
    before = path.read_bytes()

    plain: Any = Path.open

    def unwritable(self: Path, mode: str = "r", *more: object, **options: object) -> object:
        if "+" in mode:
            raise PermissionError(errno.EACCES, "Permission denied")
        return plain(self, mode, *more, **options)

    monkeypatch.setattr(Path, "open", unwritable)
    for opened in (open_cache, open_whole_cache):
        [said] = noted(lambda: np.testing.assert_equal(opened(path).similarity(slice(None)), expected))  # noqa: B023
        assert said.endswith("and it is read as it was before, as it cannot be written to")
    assert path.read_bytes() == before


@pytest.mark.process
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_read(path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with held(path, READ_WRITE):
        pass
    monkeypatch.setattr(fcntl, "flock", no_locks)
    assert len(noted(lambda: find_faults(open_whole_cache(path)))) == 1


def test_a_file_that_may_not_be_read_is_not_called_damaged(
    blocks: Path, cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    cache = Path(shutil.copy(cache_path, tmp_path / "c.h5"))

    plain: Any = Path.open

    def forbidden(self: Path, *more: object, **options: object) -> object:
        if self.name == "c.h5":
            raise PermissionError(errno.EACCES, "Permission denied")
        return plain(self, *more, **options)

    monkeypatch.setattr(Path, "open", forbidden)
    made = ("--manifest", blocks / "blocks.yaml", "--storage", "float32", "--workers", 0)
    again = ("pseudolabel", "--dataset", "blocks", "--cache", cache, *made)
    for command in (("inspect", cache), again):
        assert call(*command) == 1
        said = capsys.readouterr().err
        assert f"error: cannot read {cache}: Permission denied" in said and "restart" not in said


# Parts


@pytest.mark.process
@pytest.mark.parametrize("opening", [READ_WRITE, "file = h5py.File(path, 'a')", LEFT["swmr"][0]])
def test_a_part_that_was_opened_is_whole(tmp_path: Path, opening: str) -> None:
    header, content = random_cache(rows=5)
    store = PartStore(tmp_path / "c.h5", {"images": 5}, cut(5, 5))
    store.begin()
    store.publish(store.shards[0], header, content)
    with held(store.file(store.shards[0]), opening):
        assert store.opened(store.shards[0]) is not None
    rows = store.read(store.shards[0])
    assert rows is not None and rows.ids == content.ids


# The superblock


@given(layout=st.sampled_from(["v110", "v112", "latest"]), sizes=st.lists(st.integers(1, 3000), max_size=4))
def test_the_checksum_is_hdf5s_own(layout: str, sizes: list[int]) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", libver=(layout, layout), userblock_size=USER_BLOCK) as file:
        for n, size in enumerate(sizes):
            file[f"column {n}"] = np.arange(size)
    superblock = buffer.getvalue()[USER_BLOCK : USER_BLOCK + 48]
    assert open_elsewhere._checksum(superblock[:-4]) == superblock[-4:]


@pytest.mark.process
def test_only_a_whole_superblock_with_the_note_is_changed(path: Path) -> None:
    whole = path.read_bytes()
    with held(path, READ_WRITE):
        pass
    opened = path.read_bytes()
    assert bytes(as_closed(memoryview(opened)[USER_BLOCK:])) == whole[USER_BLOCK:]
    assert closed_superblock(path) == whole[USER_BLOCK : USER_BLOCK + 48]
    for place in range(USER_BLOCK, USER_BLOCK + 48):
        damaged = bytearray(opened)
        damaged[place] ^= 1
        path.write_bytes(damaged)
        assert closed_superblock(path) is None
        digest = hashlib.sha256(path.read_bytes())
        with pytest.raises(AevlpError):
            open_whole_cache(path)
        assert hashlib.sha256(path.read_bytes()).digest() == digest.digest()
    for content in (whole, whole[:USER_BLOCK], b"", b"text" * 200):
        path.write_bytes(content)
        assert closed_superblock(path) is None
