"""Stage one in bad luck: each fault ends in one clear line or a whole cache, and the same command then scores what is missing."""

import csv
import errno
import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import call, draw_blocks, stage_one, stage_two, without_logs

from aevlp.pipeline.errors import AevlpError
from aevlp.pipeline.files import atomic_write
from aevlp.pipeline.images import read as images
from aevlp.pipeline.score_cache import ScoreCache, open_cache, unfailing_file, unfinished
from aevlp.pipeline.score_cache.unfinished import Shard
from aevlp.pipeline.scoring import parts as part_store
from aevlp.pipeline.scoring.parts import PartStore
from aevlp.pipeline.scoring.scorer import Scorer
from aevlp.stages.caches.verify import find_faults
from aevlp.stages.stage_one import parts as part_scoring

FORMATS = pytest.mark.parametrize("suffix", ["h5", "parquet"])
IMAGES, SHARD = 16, 4  # the blocks of conftest, in four shards


@dataclass
class Ended:
    """How a process ended: its exit code, negative for a signal, and what it wrote on standard error."""

    code: int
    said: str

    def require_one_line(self, text: str) -> None:
        """Fail unless it ended with exit code 1 and the one error line that holds a text, and nothing else is wrong in it."""
        errors = [line for line in self.said.splitlines() if line.startswith("error: ")]
        assert self.code == 1 and len(errors) == 1, self.said
        assert text in errors[0], errors[0]
        self.require_no_traceback()

    def require_no_traceback(self) -> None:
        """Fail where Python, HDF5 or torch speak for themselves."""
        for word in ("Traceback", "Exception", "HDF5-DIAG", "Error:", "h5py", "  File "):
            assert word not in self.said, self.said


def command(data: Path, cache: Path, *more: object) -> list[str]:
    """Return the command line that scores the blocks in `data`."""
    fixed = {"--dataset": "blocks", "--manifest": data / "blocks.yaml", "--cache": cache, "--shard-size": SHARD}
    fixed["--tower"] = "torch"  # as in this process, which forks
    listed = [str(text) for pair in fixed.items() for text in pair]
    return ["pseudolabel", *listed, *([] if "--workers" in more else ["--workers", "0"]), *map(str, more)]


def in_child(folder: Path, arguments: list[str], before: Callable[[], object] = lambda: None) -> Ended:
    """Run a command line in a forked process, after `before`, which may break what it likes there."""
    said = folder / "said.txt"
    pid = os.fork()
    if not pid:
        try:
            handle = os.open(said, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            sys.stderr = sys.__stderr__ = os.fdopen(os.dup(2), "w", buffering=1)
            sys.stdout = os.fdopen(os.dup(1), "w", buffering=1)
            before()
            code = call(*arguments)
        except BaseException as error:
            sys.stderr.write(f"Traceback of a {type(error).__name__}: {error}")
            code = 70
        os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    text = said.read_text()
    said.unlink()
    return Ended(code, text)


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the rows that were scored in this process, as they come."""
    numbers: list[int] = []
    real = Scorer.rows

    def rows(self, images, batch, stamps, begun):
        numbers.extend(batch.rows)
        return real(self, images, batch, stamps, begun)

    monkeypatch.setattr(Scorer, "rows", rows)
    return numbers


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Blocks of the test's own, which it may change."""
    draw_blocks(tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The folder for caches."""
    (tmp_path / "caches").mkdir()
    return tmp_path / "caches"


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system in memory of a given size; the test is skipped where none may be mounted."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not permitted")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def remount(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


def require_whole(cache: Path, like: Path | None = None) -> ScoreCache:
    """Fail unless a cache is whole, stands alone in its folder, and holds what another one holds; return it."""
    assert without_logs(cache.parent) == [cache.name]
    opened = open_cache(cache)
    assert find_faults(opened) == []
    if like is not None:
        assert opened.checksums == open_cache(like).checksums
    return opened


def parts(cache: Path) -> list[str]:
    """Return the names of the parts that are published."""
    return sorted(path.name for path in unfinished.parts_folder(cache).glob("part-*.h5"))


def go_on(data: Path, cache: Path, **options) -> Path:
    return stage_one(data, cache, shard_size=SHARD, **options)


@contextmanager
def stopped_after(shards: int) -> Iterator[None]:
    """Let stage one end with an error once it has published some shards."""
    real, published = PartStore.publish, []

    def publish(self, shard, header, rows) -> None:
        if len(published) == shards:
            raise AevlpError("stopped by the test")
        published.append(shard)
        real(self, shard, header, rows)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PartStore, "publish", publish)
        with pytest.raises(AevlpError, match="stopped by the test"):
            yield


# Disks


BIG = {"grid": 12, "storage": "float32", "store": "embedding"}  # some 20 kB an image
BIG_OPTIONS = [text for name, value in BIG.items() for text in (f"--{name}", str(value))]


@pytest.mark.process
@FORMATS
def test_a_full_disk_is_one_line_and_what_was_finished_is_kept(
    blocks: Path, tmp_path: Path, scored: list[int], suffix: str
) -> None:
    with small_disk(tmp_path / "disk", "250k") as disk:
        cache = disk / f"c.{suffix}"
        run = command(blocks, cache, *BIG_OPTIONS)
        in_child(tmp_path, run).require_one_line("part-000002.h5: No space left on device")
        assert parts(cache) == ["part-000000.h5", "part-000001.h5"]
        remount(disk, "size=450k")  # enough for the parts, too little for the cache
        in_child(tmp_path, run).require_one_line(f"cannot write {cache}: No space left on device")
        assert len(parts(cache)) == 4 and not list(disk.glob(".*")) and not cache.exists()
        remount(disk, "size=4m")
        go_on(blocks, cache, **BIG)
        assert scored == []  # only the cache was missing
        require_whole(cache)


def test_hdf5_survives_a_disk_that_is_full_at_any_write(
    cache_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    from aevlp.pipeline.score_cache import write_cache

    cache, target = open_cache(cache_path), tmp_path / "c.h5"
    writes, full_from = 0, [10**9]
    real = unfailing_file.UnfailingFile.write

    def write(self, content) -> int:
        nonlocal writes
        writes += 1
        if writes >= full_from[0] and self.error is None:
            self.error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, content)

    monkeypatch.setattr(unfailing_file.UnfailingFile, "write", write)
    write_cache(target, cache.header, cache.rows())
    target.unlink()
    for number in range(1, writes + 1):
        writes, full_from[0] = 0, number
        with pytest.raises(AevlpError, match=r"cannot write .*c\.h5: No space left on device"):
            write_cache(target, cache.header, cache.rows())
        assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr().err == ""


@pytest.mark.process
def test_a_target_that_is_read_only_is_one_line(blocks: Path, tmp_path: Path, scored: list[int]) -> None:
    with small_disk(tmp_path / "disk", "4m") as disk:
        cache = disk / "new" / "folder" / "c.h5"
        remount(disk, "ro")
        in_child(tmp_path, command(blocks, cache)).require_one_line(f"cannot write {cache}: {disk} is read-only")
        remount(disk, "rw")
        with stopped_after(2):
            go_on(blocks, cache)
        remount(disk, "ro")
        in_child(tmp_path, command(blocks, cache)).require_one_line(
            f"cannot write {cache}: {cache.parent} is read-only"
        )
        assert len(parts(cache)) == 2
        remount(disk, "rw")
        scored.clear()
        go_on(blocks, cache)
        assert scored == [*range(8, 16)]
        require_whole(cache)


@pytest.mark.process
def test_parts_on_a_read_only_disk_are_one_line(blocks: Path, tmp_path: Path, place: Path) -> None:
    cache = place / "c.h5"
    with small_disk(place / "c.h5.parts", "4m") as disk:
        with stopped_after(2):
            go_on(blocks, cache)
        remount(disk, "ro")
        in_child(tmp_path, command(blocks, cache)).require_one_line(
            f"cannot lock files in {disk}: Read-only file system"
        )
        remount(disk, "rw")
        in_child(tmp_path, command(blocks, cache)).require_one_line(f"cannot delete {disk}: Device or resource busy")
    disk.rmdir()
    assert f"{cache} is there already" in in_child(tmp_path, command(blocks, cache)).said
    require_whole(cache)


# The end of a process


def kill_self(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after(calls: int, real: Callable, then: Callable[[], object]) -> Callable:
    """Return a function that does `then` in place of its call number `calls`, counted from 0."""
    made: list[int] = []

    def counted(*arguments, **options):
        made.append(1)
        if len(made) > calls:
            then()
        return real(*arguments, **options)

    return counted


def rows_then(stop: Callable[[], object]) -> Callable:
    def all_rows(store: PartStore) -> Iterator:
        for shard in store.shards:
            if shard.number == 2:
                stop()
            yield store.read(shard)

    return all_rows


def at_verification() -> None:
    real = ScoreCache.rows

    def rows(self, *arguments):
        if not self.path.name.startswith("part-0000"):
            kill_self()
        return real(self, *arguments)

    ScoreCache.rows = rows  # type: ignore[method-assign]


def in_removal() -> None:
    real = shutil.rmtree

    def rmtree(path, *arguments, **options):
        if Path(path).suffix == ".old" and Path(path).exists():
            next(Path(path).iterdir()).unlink()
            kill_self()
        real(path, *arguments, **options)

    shutil.rmtree = rmtree


STEPS: dict[
    str, tuple[Callable[[], object], *tuple[int, ...]]
] = {  # how a process is killed there, and how many images are published then
    "the settings are written": (lambda: setattr(atomic_write, "_sync", kill_self), 0),
    # The second shard is published meanwhile.
    "a shard is scored": (lambda: setattr(Scorer, "rows", after(2, Scorer.rows, kill_self)), 4, 8),
    # A sync of settings and of their folder, then of each part and its folder.
    "a part is synced": (lambda: setattr(atomic_write, "_sync", after(4, atomic_write._sync, kill_self)), 4),
    "a part has its name": (lambda: setattr(atomic_write, "_sync", after(5, atomic_write._sync, kill_self)), 8),
    "the cache is written": (lambda: setattr(part_scoring, "_all_rows", rows_then(kill_self)), 16),
    "the cache is verified": (at_verification, 16),
    "the cache has its name": (lambda: setattr(part_store, "remove_parts", kill_self), 16),
    "the parts are removed": (in_removal, 16),
}


@pytest.mark.process
@pytest.mark.parametrize(
    "step, suffix", [*((step, "h5") for step in STEPS), *((step, "parquet") for step in list(STEPS)[4:])]
)
def test_kill_9_loses_nothing_that_was_finished(
    blocks: Path, cache_path: Path, tmp_path: Path, place: Path, scored: list[int], step: str, suffix: str
) -> None:
    cache = place / f"c.{suffix}"
    kill, *finished = STEPS[step]
    assert in_child(tmp_path, command(blocks, cache, "--storage", "float32"), kill).code == -signal.SIGKILL
    published = len(parts(cache)) * SHARD if not cache.exists() else IMAGES
    assert published in finished
    assert stage_one(blocks, cache, shard_size=SHARD, storage="float32") == cache
    assert scored == [*range(published, IMAGES)]
    opened = require_whole(cache)
    np.testing.assert_allclose(
        opened.similarity(slice(None)), open_cache(cache_path).similarity(slice(None)), atol=1e-5
    )


@pytest.mark.process
@FORMATS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_merge_ends_it_in_one_line(
    blocks: Path, tmp_path: Path, place: Path, scored: list[int], number: signal.Signals, suffix: str
) -> None:
    cache = place / f"c.{suffix}"

    def before() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        part_scoring._all_rows = rows_then(lambda: os.kill(os.getpid(), number))  # type: ignore[assignment]

    ended = in_child(tmp_path, command(blocks, cache), before)
    assert ended.code == 130 and ended.said.splitlines()[-1].startswith("interrupted: all that was finished is kept")
    ended.require_no_traceback()
    assert without_logs(place) == [f"c.{suffix}.parts"] and len(parts(cache)) == 4
    go_on(blocks, cache)
    assert scored == []
    require_whole(cache)


@contextmanager
def real_run(data: Path, cache: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the program itself, with two workers, in a process group of its own, and go on once a part is published."""
    arguments = command(data, cache, "--workers", 2, *BIG_OPTIONS)
    program = f"import sys; from aevlp.stages.commands.app import main; main({arguments!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        until(lambda: process.poll() is not None or parts(cache))
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def until(holds: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


needs_proc = pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="reads /proc")


@pytest.mark.slow
@pytest.mark.process
@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_all_processes_while_scoring_ends_them_in_one_line(
    blocks: Path, place: Path, number: signal.Signals
) -> None:
    cache = place / "c.h5"
    with real_run(blocks, cache) as process:
        workers = children(process.pid)
        assert len(workers) == 2
        os.killpg(process.pid, number)
        _, said = process.communicate(timeout=60)
    ended = Ended(process.returncode, said)
    assert ended.code == 130 and said.splitlines()[-1].startswith("interrupted: all that was finished is kept")
    ended.require_no_traceback()
    assert not any(map(is_running, workers))
    assert without_logs(place) == ["c.h5.parts"] and parts(cache)
    assert not list((place / "c.h5.parts").glob(".*"))


@pytest.mark.slow
@pytest.mark.process
@needs_proc
def test_a_worker_that_the_kernel_kills_is_one_line(blocks: Path, place: Path, scored: list[int]) -> None:
    cache = place / "c.h5"
    with real_run(blocks, cache) as process:
        os.kill(children(process.pid)[0], signal.SIGKILL)
        _, said = process.communicate(timeout=60)
    Ended(process.returncode, said).require_one_line("memory, or shared memory, may have run out; run the same command")
    kept = len(parts(cache)) * SHARD
    assert kept
    go_on(blocks, cache, **BIG)
    assert scored == [*range(kept, IMAGES)]
    require_whole(cache)


@pytest.mark.slow
@pytest.mark.process
@needs_proc
def test_workers_that_outlive_kill_9_hold_no_lock(blocks: Path, place: Path) -> None:
    cache = place / "c.h5"
    with real_run(blocks, cache) as process:
        workers = children(process.pid)
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)  # so that they cannot notice that it is gone
        process.kill()
        process.wait()
        try:
            assert len(workers) == 2 and all(map(is_running, workers))
            assert not unfinished.in_use(cache)
            go_on(blocks, cache, **BIG)
            require_whole(cache)
        finally:
            for worker in workers:
                os.kill(worker, signal.SIGKILL)


@pytest.mark.process
def test_two_runs_at_once_score_each_image_once(blocks: Path, tmp_path: Path, place: Path) -> None:
    cache, log = place / "c.h5", tmp_path / "log"
    begun, begin = os.pipe()
    runs = []
    for number in (0, 1):
        pid = os.fork()
        if not pid:
            os.close(begin)
            real = Scorer.rows

            def rows(self, images, batch, stamps, begun, number=number, real=real):
                with log.open("a") as file:
                    file.write("".join(f"{number} {row}\n" for row in batch.rows))
                late = time.monotonic() + 60  # the other may start seconds later on a busy machine
                while len({line[0] for line in log.read_text().splitlines()}) < 2 and time.monotonic() < late:
                    time.sleep(0.01)
                return real(self, images, batch, stamps, begun)

            Scorer.rows = rows  # type: ignore[method-assign]
            os.read(begun, 1)
            os._exit(in_child(place.parent / f"{number}", command(blocks, cache)).code)
        (tmp_path / f"{number}").mkdir()
        runs.append(pid)
    os.close(begin)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in runs] == [0, 0]
    lines = [line.split() for line in log.read_text().splitlines()]
    assert sorted(int(row) for _, row in lines) == [*range(IMAGES)]
    assert {number for number, _ in lines} == {"0", "1"}
    require_whole(cache)


# Images and labels that change


@pytest.mark.parametrize("days", [-1000, 1000])
def test_a_clock_that_steps_between_runs_changes_nothing(
    data: Path, place: Path, scored: list[int], monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    for number, image in enumerate(sorted((data / "images").iterdir())):
        when = time.time() + (days + number) * 86400
        os.utime(image, (when, when))
    with stopped_after(2):
        go_on(data, place / "c.h5")
    scored.clear()
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - days * 86400)
    go_on(data, place / "c.h5")
    assert scored == [*range(8, 16)]
    require_whole(place / "c.h5")


@pytest.mark.process
@pytest.mark.parametrize("seconds", [-5, 5])
def test_a_touched_image_is_named_and_what_the_error_says_helps(
    data: Path, tmp_path: Path, place: Path, scored: list[int], seconds: int
) -> None:
    cache, image = place / "c.h5", data / "images" / "05.png"
    with stopped_after(3):
        go_on(data, cache)
    when = image.stat().st_mtime + seconds
    os.utime(image, (when, when))
    part = place / "c.h5.parts" / "part-000001.h5"
    in_child(tmp_path, command(data, cache)).require_one_line(
        f"{image} has changed since its part was made: delete {part} to score its 4 images again"
    )
    part.unlink()
    scored.clear()
    go_on(data, cache)
    assert scored == [4, 5, 6, 7, 12, 13, 14, 15]
    require_whole(cache)


def test_hashed_images_may_be_touched_and_not_changed(data: Path, place: Path, scored: list[int]) -> None:
    cache, image = place / "c.h5", data / "images" / "05.png"
    with stopped_after(3):
        go_on(data, cache, hash_images=True)
    os.utime(image, (1, 1))
    with stopped_after(0):
        go_on(data, cache, hash_images=True)
    content = bytearray(image.read_bytes())
    content[-1] ^= 1
    image.write_bytes(content)
    os.utime(image, (1, 1))
    with pytest.raises(AevlpError, match=r"05\.png has changed"):
        go_on(data, cache, hash_images=True)


def test_an_image_that_appears_or_is_gone_between_runs_is_named(data: Path, place: Path) -> None:
    cache, gone, new = place / "c.h5", data / "images" / "01.png", data / "images" / "06.png"
    content = new.read_bytes()
    new.unlink()
    with stopped_after(3):
        go_on(data, cache)
    whole = gone.read_bytes()
    gone.unlink()
    with pytest.raises(AevlpError, match=r"01\.png is gone since .*delete .*part-000000\.h5"):
        go_on(data, cache)
    gone.write_bytes(whole)
    (place / "c.h5.parts" / "part-000000.h5").unlink()
    new.write_bytes(content)
    with pytest.raises(AevlpError, match=r"06\.png has appeared since .*delete .*part-000001\.h5"):
        go_on(data, cache)
    (place / "c.h5.parts" / "part-000001.h5").unlink()
    go_on(data, cache)
    assert set(require_whole(cache).status) == {"ok"}


def test_an_image_that_is_replaced_while_it_is_scored_is_an_error(
    data: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, image = place / "c.h5", data / "images" / "06.png"
    real = Scorer.rows

    def rows(self, images, batch, stamps, begun):
        if 6 in batch.rows:
            shutil.copy(data / "images" / "07.png", image)
        return real(self, images, batch, stamps, begun)

    with monkeypatch.context() as patch:
        patch.setattr(Scorer, "rows", rows)
        with pytest.raises(AevlpError, match=r"06\.png changed while it was scored: run the same command again"):
            go_on(data, cache)
    assert parts(cache) == ["part-000000.h5"]
    go_on(data, cache)
    cosines = require_whole(cache).similarity([6, 7])
    np.testing.assert_array_equal(cosines[0], cosines[1])


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda text: text.replace("00.png,train,red;green", "00.png,train,red;blue"), "the list of images and labels"),
        (lambda text: text.replace("images/01.png", "./images/01.png"), "the list of images and labels"),
        (lambda text: text + "images/00.png,test,red\n", "stands in line"),
        (lambda text: "\n".join(text.splitlines()[:-1]) + "\n", "images: 15, not 16"),
    ],
)
def test_labels_that_change_between_runs_are_an_error_in_words(data: Path, place: Path, change, said: str) -> None:
    cache, table = place / "c.h5", data / "labels.csv"
    with stopped_after(2):
        go_on(data, cache)
    before = table.read_text()
    table.write_text(change(before))
    with pytest.raises(AevlpError, match=said):
        go_on(data, cache)
    table.write_text(before)
    go_on(data, cache)
    require_whole(cache)


# Parts that are damaged


def flip(part: Path) -> None:
    content = bytearray(part.read_bytes())
    content[len(content) // 2] ^= 16
    part.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda part: part.write_bytes(b""),
        lambda part: os.truncate(part, 700),
        lambda part: part.write_bytes(b"x" * 9),
    ],
    ids=["one bit", "empty", "cut", "something else"],
)
@pytest.mark.parametrize("shards", [2, 4])  # of four: with work left, and with the cache alone left
def test_a_damaged_part_is_named_and_scored_again(
    blocks: Path, place: Path, scored: list[int], capsys: pytest.CaptureFixture, damage: Callable, shards: int
) -> None:
    cache = place / "c.h5"
    if shards < 4:
        with stopped_after(shards):
            go_on(blocks, cache)
    else:
        with pytest.MonkeyPatch.context() as patch, pytest.raises(AevlpError, match="no merge"):
            patch.setattr(part_scoring, "_all_rows", lambda _: (_ for _ in ()).throw(AevlpError("no merge")))
            go_on(blocks, cache)
    damage(place / "c.h5.parts" / "part-000001.h5")
    scored.clear()
    capsys.readouterr()
    go_on(blocks, cache)
    assert (
        "part-000001.h5 is damaged, its checksum does not agree: images 4 to 7 are scored again"
        in capsys.readouterr().err
    )
    assert scored == [*range(4, 8), *range(shards * SHARD, IMAGES)]
    require_whole(cache)


@pytest.mark.parametrize("what", ["a part is deleted", "a part is damaged", "the folder is deleted"])
def test_hands_in_the_folder_while_it_is_scored_into(
    blocks: Path, place: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    cache, folder = place / "c.h5", place / "c.h5.parts"
    real = PartStore.publish

    def publish(self, shard: Shard, header, rows) -> None:
        if shard.number == 2 and what == "a part is deleted":
            (folder / "part-000000.h5").unlink()
        if shard.number == 2 and what == "a part is damaged":
            flip(folder / "part-000000.h5")
        if shard.number == 2 and what == "the folder is deleted":
            shutil.rmtree(folder)
        real(self, shard, header, rows)

    with monkeypatch.context() as patch:
        patch.setattr(PartStore, "publish", publish)
        if what == "the folder is deleted":
            with pytest.raises(AevlpError, match=r"c\.h5\.parts was deleted while it was scored into: run again"):
                go_on(blocks, cache)
        else:
            go_on(blocks, cache)
    go_on(blocks, cache)
    require_whole(cache)


# Images that cannot be read


@pytest.mark.slow
def test_300_of_1000_images_that_cannot_be_read_are_counted(
    tmp_path: Path, place: Path, capsys: pytest.CaptureFixture
) -> None:
    draw_blocks(tmp_path / "data", 900, 100)
    bad = np.random.default_rng(0).permutation(1000)[:300]
    for number in bad:
        (tmp_path / "data" / "images" / f"{number:02d}.png").write_bytes(b"no image")
    cache = place / "c.h5"
    with pytest.raises(
        AevlpError, match=r"of 1000 images cannot be read, first .*; --strict refuses, no cache was written"
    ):
        stage_one(tmp_path / "data", cache, strict=True)
    assert not cache.exists()
    capsys.readouterr()
    stage_one(tmp_path / "data", cache)
    printed = capsys.readouterr().out
    assert "700 images scored" in printed and "300 images unreadable" in printed
    status = require_whole(cache).status
    assert np.flatnonzero(status == "unreadable").tolist() == sorted(bad.tolist()) and (status == "ok").sum() == 700


@pytest.mark.process
@pytest.mark.parametrize("strict", [False, True])
def test_no_image_that_can_be_read_is_one_line_and_leaves_no_cache(
    data: Path, tmp_path: Path, place: Path, strict: bool
) -> None:
    for image in (data / "images").iterdir():
        image.write_bytes(b"no image")
    ended = in_child(tmp_path, command(data, place / "c.h5", *(["--strict"] if strict else [])))
    ended.require_one_line("16 images c" if strict else "none of the 16 images can be read, first ")
    if not strict:
        assert without_logs(place) == []


def png(width: int, height: int) -> bytes:
    """Return a small PNG that claims to be of any size."""
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(10**6))))
    coded = (struct.pack(">I", len(c)) + name + c + struct.pack(">I", zlib.crc32(name + c)) for name, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(coded)


def test_a_decompression_bomb_is_a_row_with_a_reason(data: Path, place: Path) -> None:
    (data / "images" / "02.png").write_bytes(png(60_000, 60_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    go_on(data, place / "c.h5")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # kB, of the 10,800,000 that it claims
    cache = require_whole(place / "c.h5")
    assert cache.status[2] == "unreadable" and "3,600 megapixels (60,000 x 60,000)" in cache.reason[2]
    assert (np.delete(cache.status, 2) == "ok").all()


ODD_NAMES = ["a\nb.png", "🦊 \u202e.png", "a" * 251 + ".png", 'q"u,o;te.png', " .png", "#[x]{y}%20.png", "c:\\d.png"]


@pytest.mark.process
@pytest.mark.parametrize("table", ["labels.csv", "labels.jsonl"])
def test_odd_names_go_through_both_stages(
    data: Path, tmp_path: Path, place: Path, capsys: pytest.CaptureFixture, table: str
) -> None:
    with (data / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, name in zip(rows, ODD_NAMES, strict=False):
        (data / row["image"]).rename(data / "images" / name)
        row["image"] = f"images/{name}"
    (data / "images" / ODD_NAMES[0]).write_bytes(b"no image")
    (data / "images" / ODD_NAMES[1]).unlink()
    with (data / table).open("w", newline="", encoding="utf-8") as file:
        if table.endswith(".csv"):
            writer = csv.DictWriter(file, ["image", "split", "labels"])
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps({**row, "labels": row["labels"].split(";")}) + "\n" for row in rows)
    manifest = data / "blocks.yaml"
    manifest.write_text(manifest.read_text().replace("labels.csv", table))
    cache = place / "c.h5"
    go_on(data, cache)
    said = capsys.readouterr().err
    assert "expected a picture" in said and "\nb.png" not in said
    opened = require_whole(cache)
    assert opened.paths.tolist() == [row["image"] for row in rows]
    assert opened.status.tolist() == ["unreadable", "missing", *["ok"] * 14]
    assert call("verify", cache) == 0
    stage_two(cache, tmp_path / "run", epochs=1)
    image = data / "images" / ODD_NAMES[0]
    cache.unlink()
    with stopped_after(1):
        go_on(data, cache)
    image.write_bytes(b"another")
    in_child(tmp_path, command(data, cache)).require_one_line("a b.png has changed since its part was made")


@pytest.mark.process
@pytest.mark.parametrize(
    "number, workers",
    [(errno.EMFILE, 0), (errno.ENFILE, 0), (errno.ENOMEM, 0), (errno.ESTALE, 0), (errno.EIO, 0), (errno.EIO, 2)],
)
def test_what_is_no_fault_of_an_image_stops_the_run(
    blocks: Path, tmp_path: Path, place: Path, scored: list[int], number: int, workers: int
) -> None:
    cache, real = place / "c.h5", images.opened

    def refuse(file, *arguments):
        if Path(file.name).name == "09.png":
            raise OSError(number, os.strerror(number))
        return real(file, *arguments)

    run = command(blocks, cache, "--workers", workers)
    ended = in_child(tmp_path, run, lambda: setattr(images, "opened", refuse))
    ended.require_one_line(f"cannot read {blocks / 'images' / '09.png'}: {os.strerror(number)}; ")
    assert parts(cache) == ["part-000000.h5", "part-000001.h5"]
    go_on(blocks, cache)
    assert scored == [*range(8, 16)]
    assert set(require_whole(cache).status) == {"ok"}


def test_a_file_that_may_not_be_read_is_a_row(blocks: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = images.opened

    def refuse(file, *arguments):
        if Path(file.name).name == "09.png":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(file, *arguments)

    monkeypatch.setattr(images, "opened", refuse)
    go_on(blocks, place / "c.h5")
    cache = require_whole(place / "c.h5")
    assert cache.status[9] == "unreadable" and cache.reason[9].endswith("09.png: Permission denied")


@pytest.mark.process
@pytest.mark.parametrize(
    "error, said",
    [
        (torch.OutOfMemoryError("CUDA out of memory."), "delete the parts and lower --batch-size 16, for all"),
        (MemoryError(), "memory is full: run the same command again with fewer --workers"),
    ],
)
def test_memory_that_does_not_suffice_is_one_line(
    blocks: Path, tmp_path: Path, place: Path, error: Exception, said: str
) -> None:
    cache = place / "c.h5"

    def fail() -> None:
        raise error

    ended = in_child(tmp_path, command(blocks, cache), lambda: setattr(Scorer, "rows", after(2, Scorer.rows, fail)))
    ended.require_one_line(said)
    assert len(parts(cache)) == 2
    go_on(blocks, cache)
    require_whole(cache)


@pytest.mark.process
def test_shared_memory_that_is_full_is_one_line_and_nobody_waits(blocks: Path, tmp_path: Path, place: Path) -> None:
    def refuse(_: torch.Tensor) -> None:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    run = command(blocks, place / "c.h5", "--workers", 2)
    ended = in_child(tmp_path, run, lambda: setattr(torch.Tensor, "share_memory_", refuse))
    ended.require_one_line("shared memory is full (unable to allocate")
    go_on(blocks, place / "c.h5")
    require_whole(place / "c.h5")


def test_a_fault_of_the_program_itself_is_not_taken_for_memory(
    blocks: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("Caught TypeError in DataLoader worker process 0.")

    monkeypatch.setattr(Scorer, "rows", fail)
    with pytest.raises(RuntimeError, match="Caught TypeError"):
        go_on(blocks, place / "c.h5")


# Starting anew


@pytest.mark.process
def test_restart_is_refused_while_another_process_scores(blocks: Path, place: Path) -> None:
    cache = place / "c.h5"
    with stopped_after(2):
        go_on(blocks, cache)
    store = PartStore(cache, {}, unfinished.cut(IMAGES, SHARD))
    ready, write = os.pipe()
    pid = os.fork()
    if not pid:
        with store.claim(store.shards[3]):
            os.write(write, b"x")
            time.sleep(60)
    os.read(ready, 1)
    try:
        with pytest.raises(AevlpError, match=r"another process is scoring into .*nothing was deleted; stop it first"):
            go_on(blocks, cache, restart=True, yes=True)
        assert len(parts(cache)) == 2
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    go_on(blocks, cache, restart=True, yes=True)
    require_whole(cache)


@pytest.mark.process
def test_ctrl_c_at_the_question_deletes_nothing(blocks: Path, tmp_path: Path, place: Path) -> None:
    cache = place / "c.h5"
    with stopped_after(2):
        go_on(blocks, cache)

    class Interrupted:
        def readline(self) -> str:
            raise KeyboardInterrupt

    ended = in_child(tmp_path, command(blocks, cache, "--restart"), lambda: setattr(sys, "stdin", Interrupted()))
    assert ended.code == 130
    ended.require_no_traceback()
    assert len(parts(cache)) == 2


@pytest.mark.process
def test_a_cache_that_is_damaged_can_be_replaced(blocks: Path, tmp_path: Path, place: Path) -> None:
    cache = place / "c.h5"
    cache.write_bytes(b"half a cache")
    in_child(tmp_path, command(blocks, cache)).require_one_line(
        "delete it to score anew, as aevlp pseudolabel --restart does"
    )
    go_on(blocks, cache, restart=True, yes=True)
    require_whole(cache)
