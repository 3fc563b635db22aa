"""Parts of a cache: what is published is read again or found damaged, claims exclude each other, and settings must agree."""

import errno
import os
import signal
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.score_cache import CacheHeader, CacheRows
from aevlp.pipeline.score_cache.unfinished import Shard, cut, exclusive, in_use, leftovers, remove_parts
from aevlp.pipeline.scoring.parts import PartStore
from fakes import random_cache

SETTINGS = {"images": 7, "method": {"grid": 2}, "prompts": ["a photo of a red."], "batch_size": 16}


def a_store(folder: Path, rows: int = 7, size: int = 7, **changed: object) -> PartStore:
    """Return parts that are begun."""
    store = PartStore(folder / "voc.h5", {**SETTINGS, **changed}, cut(rows, size))
    store.begin()
    return store


def require_equal(found: CacheRows | None, expected: CacheRows) -> None:
    assert found is not None
    for name, value in vars(expected).items():
        if value is None:
            assert getattr(found, name) is None
        else:
            np.testing.assert_array_equal(getattr(found, name), value)


@contextmanager
def held_elsewhere(claim: AbstractContextManager) -> Iterator[int]:
    """Enter a context in another process, which is killed at the end; gives its id."""
    ready, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            with claim:
                os.write(write, b"x")
                time.sleep(60)
        finally:
            os._exit(1)
    os.close(write)
    try:
        assert os.read(ready, 1) == b"x"
        yield pid
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@given(st.integers(0, 300), st.integers(1, 400))
def test_shards_cover_each_row_once(rows: int, size: int) -> None:
    shards = cut(rows, size)
    assert [row for shard in shards for row in range(shard.start, shard.stop)] == list(range(rows))
    assert [shard.number for shard in shards] == list(range(len(shards)))
    assert all(shard.stop - shard.start == size for shard in shards[:-1])
    assert all(0 < shard.stop - shard.start <= size for shard in shards[-1:])


@pytest.mark.parametrize("rows", [1, 7, 1024, 1500])  # more than a block of checksums, too
@pytest.mark.parametrize("has_truth", [True, False])
def test_what_is_published_is_read_again(tmp_path: Path, rows: int, has_truth: bool) -> None:
    header, content = random_cache(rows=rows, has_truth=has_truth)
    store = a_store(tmp_path, rows, rows)
    store.publish(store.shards[0], header, content)
    require_equal(store.read(store.shards[0]), content)
    assert store.missing() == []


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.sampled_from(["float16", "float32"]), st.integers(0, 9)
)
def test_any_rows_are_read_as_they_were_published(
    tmp_path_factory: pytest.TempPathFactory, rows: int, classes: int, grid: int, storage: str, seed: int
) -> None:
    header, content = random_cache(rows, classes, grid, storage=storage, seed=seed)
    content = replace(content, paths=["a\nb/🦊.jpg", *content.paths[1:]])
    store = a_store(tmp_path_factory.mktemp("store"), rows, rows)
    store.publish(store.shards[0], header, content)
    require_equal(store.read(store.shards[0]), content)


def published(folder: Path) -> tuple[PartStore, Path, CacheRows]:
    header, content = random_cache()
    store = a_store(folder)
    store.publish(store.shards[0], header, content)
    return store, store.file(store.shards[0]), content


def test_every_flipped_bit_and_every_cut_is_found(tmp_path: Path) -> None:
    store, file, content = published(tmp_path)
    [shard] = store.shards
    whole = file.read_bytes()
    random = np.random.default_rng(0)
    places = [*range(0, 140), 511, 512, 513, len(whole) - 1, *random.integers(0, len(whole), 300)]
    for place in map(int, places):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << random.integers(8)
        file.write_bytes(damaged)
        assert store.read(shard) is None, f"a bit flipped in byte {place}"
    for size in (0, 1, 64, 65, 130, 511, 512, 513, len(whole) // 2, len(whole) - 1):
        file.write_bytes(whole[:size])
        assert store.read(shard) is None, f"cut to {size} bytes"
    for longer in (whole + b"\0", b"\0" + whole, whole * 2):
        file.write_bytes(longer)
        assert store.read(shard) is None
    file.write_bytes(whole)
    require_equal(store.read(shard), content)


def test_a_part_in_the_place_of_another_shard_is_an_error_that_says_so(tmp_path: Path) -> None:
    store, file, _ = published(tmp_path)
    second = Shard(1, store.shards[0].stop, store.shards[0].stop + 1)
    store.file(second).write_bytes(file.read_bytes())
    with pytest.raises(AevlpError, match=r"part-000001\.h5 is a part of another run, or of other images"):
        store.read(second)


def test_a_part_of_another_run_is_an_error_that_says_so(tmp_path: Path) -> None:
    store, file, _ = published(tmp_path)
    (tmp_path / "other").mkdir()
    other = a_store(tmp_path / "other", batch_size=8)
    other.file(other.shards[0]).write_bytes(file.read_bytes())
    with pytest.raises(AevlpError, match=r"part-000000\.h5 is a part of another run.*remove it"):
        other.read(other.shards[0])
    damaged = bytearray(file.read_bytes())
    damaged[-1] ^= 1
    other.file(other.shards[0]).write_bytes(damaged)
    assert other.read(other.shards[0]) is None  # damaged, whatever it was
    assert store.read(store.shards[0]) is not None


def test_a_part_that_the_disk_does_not_give_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, file, _ = published(tmp_path)

    def refuse(_: Path) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(AevlpError, match=r"cannot read .*part-000000\.h5: Input/output error"):
        store.read(store.shards[0])
    assert file.exists()  # the disk may give it tomorrow


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"batch_size": 8}, "batch_size: 8, not 16"),
        ({"method": {"grid": 3}}, "method.grid: 3, not 2"),
        ({"device": "cuda"}, "device: cuda, not None"),
        ({"prompts": ["red"]}, "prompts"),
    ],
)
def test_other_settings_are_an_error_that_names_the_first(tmp_path: Path, changed: dict, said: str) -> None:
    store, file, _ = published(tmp_path)
    with pytest.raises(AevlpError) as raised:
        a_store(tmp_path, **changed)
    assert f"(this run has {said}" in str(raised.value) and f"delete {store.folder}" in str(raised.value)
    assert file.exists() and store.read(store.shards[0]) is not None
    a_store(tmp_path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]"])
def test_damaged_settings_are_one_clear_line(tmp_path: Path, content: bytes) -> None:
    store, file, _ = published(tmp_path)
    (store.folder / "settings.json").write_bytes(content)
    with pytest.raises(AevlpError, match=r"voc\.h5\.parts.*delete .*voc\.h5\.parts to start anew"):
        a_store(tmp_path)
    assert file.exists()


@pytest.mark.parametrize("name", ["notes.txt", "part-1.h5.bak", ".hidden"])
def test_a_folder_that_holds_something_else_is_never_deleted(tmp_path: Path, name: str) -> None:
    mine = tmp_path / "voc.h5.parts" / name
    mine.parent.mkdir()
    mine.write_text("mine")
    for attempt in (lambda: a_store(tmp_path), lambda: remove_parts(tmp_path / "voc.h5")):
        with pytest.raises(AevlpError, match=f"{name!r}, which is no part: move that away"):
            attempt()
    assert mine.read_text() == "mine"
    mine.unlink()
    a_store(tmp_path)


def test_a_file_in_the_place_of_the_folder_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "voc.h5.parts").write_text("mine")
    with pytest.raises(AevlpError, match=r"voc\.h5\.parts is a file"):
        a_store(tmp_path)
    assert (tmp_path / "voc.h5.parts").read_text() == "mine"


@pytest.mark.process
def test_a_claim_excludes_other_processes_until_its_own_is_killed(tmp_path: Path) -> None:
    store = a_store(tmp_path, rows=3, size=1)
    first, second, _ = store.shards
    with held_elsewhere(store.claim(first)):
        assert [store.is_free(shard) for shard in (first, second)] == [False, True]
        with store.claim(first) as mine:
            assert not mine
        with store.claim(second) as mine:
            assert mine
        assert in_use(store.target)
    assert not in_use(store.target)
    with store.claim(first) as mine:
        assert mine
    header, rows = random_cache(rows=1)
    store.publish(first, header, rows)
    with store.claim(first) as mine:
        assert not mine  # published: nothing is scored twice


@pytest.mark.process
def test_the_lock_of_a_cache_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    target = tmp_path / "voc.h5"
    with held_elsewhere(exclusive(target)) as holder:
        waiting = os.fork()
        if not waiting:
            with exclusive(target):
                os._exit(7)
        time.sleep(0.3)
        assert os.waitpid(waiting, os.WNOHANG) == (0, 0)
        os.kill(holder, signal.SIGKILL)
        assert os.waitstatus_to_exitcode(os.waitpid(waiting, 0)[1]) == 7
    with exclusive(target):
        pass
    assert list(tmp_path.iterdir()) == []


def test_an_error_under_the_lock_is_the_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mine"), exclusive(tmp_path / "voc.h5"):
        raise OSError("mine")
    (tmp_path / "file").write_text("")
    with pytest.raises(AevlpError, match=r"cannot lock .*voc\.h5: "), exclusive(tmp_path / "file" / "voc.h5"):
        pytest.fail("there is nowhere to lock")


def test_nothing_is_published_or_claimed_where_the_folder_is_gone(tmp_path: Path) -> None:
    store = a_store(tmp_path, rows=7, size=7)
    header, rows = random_cache()
    store.remove()
    assert not store.exists() and store.missing() == []
    with store.claim(store.shards[0]) as mine:
        assert not mine
    with pytest.raises(AevlpError, match="was deleted while it was scored into: run again"):
        store.publish(store.shards[0], header, rows)
    assert list(tmp_path.iterdir()) == []


def test_parts_are_gone_for_everybody_before_the_first_is_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, file, _ = published(tmp_path)
    seen: list[tuple[bool, bool]] = []
    real = os.unlink

    def unlink(path, **options) -> None:
        seen.append((store.exists(), file.exists()))
        real(path, **options)

    monkeypatch.setattr(os, "unlink", unlink)
    store.remove()
    assert seen and set(seen) == {(False, False)}
    assert list(tmp_path.iterdir()) == []


def test_a_removal_that_was_killed_is_finished_by_the_next(tmp_path: Path) -> None:
    store, _, _ = published(tmp_path)
    store.folder.rename(tmp_path / ".voc.h5.parts.old")
    (tmp_path / ".voc.h5.123456.tmp").write_text("half a cache")
    (tmp_path / ".voc.parquet.123456.tmp").write_text("another's")
    assert {path.name for path in leftovers(store.target)} == {".voc.h5.parts.old", ".voc.h5.123456.tmp"}
    store, file, _ = published(tmp_path)  # with what is left of the earlier ones beside it
    (tmp_path / ".voc.h5.parts.old").mkdir()
    (tmp_path / ".voc.h5.parts.old" / "part-000000.h5").write_text("")
    store.remove()
    assert [path.name for path in tmp_path.iterdir()] == [".voc.parquet.123456.tmp"]
    assert not file.exists() and leftovers(store.target) == []


def test_parts_that_cannot_be_deleted_are_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, file, _ = published(tmp_path)

    def refuse(*_: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(AevlpError, match=r"cannot delete .*voc\.h5\.parts: Device or resource busy"):
        store.remove()
    assert file.exists()


def test_the_folder_is_listed_for_all_shards_together_never_for_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = a_store(tmp_path, rows=50, size=1)
    for shard in store.shards[:-2]:
        store.file(shard).write_bytes(b"")
    listed: list[object] = []
    real = os.scandir

    def scandir(*arguments):
        listed.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "listdir", scandir)
    for shard in store.shards:
        with store.claim(shard) as mine:
            assert mine == (shard in store.shards[-2:])
        assert store.is_free(shard)
    assert listed == []
    assert store.missing() == store.shards[-2:]
    assert len(listed) == 1


def test_the_header_of_a_part_is_of_its_rows_alone(tmp_path: Path) -> None:
    header, content = random_cache(rows=7)
    store = a_store(tmp_path, 7, 3)
    for shard in store.shards:
        rows = content.take(slice(shard.start, shard.stop))
        part: CacheHeader = replace(header, rows=len(rows))
        store.publish(shard, part, rows)
    assert [len(store.read(shard) or ()) for shard in store.shards] == [3, 3, 1]
