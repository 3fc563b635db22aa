"""Several processes that make one cache: each image is scored once, whoever is killed, and the cache is equal in every byte."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import call, draw_blocks, stage_one, without_logs

from aevlp.pipeline.score_cache.unfinished import parts_folder

HARNESS = Path(__file__).parents[1] / "benchmarks" / "kill_stage_one.py"
SHARDS = 8  # of two images
# Stage one in as many processes as the first argument says, or in this one if torchrun started it; notes what is scored. Those
# that torchrun started score nothing before all of them have begun, so that none is done before another has started.
SCRIPT = """
import os, sys, time
import open_clip  # once, for the processes that are forked
from aevlp.pipeline.scoring.scorer import Scorer
from aevlp.stages.commands import app as cli
from aevlp.stages.stage_one import pseudolabel

processes, seconds, scored, *arguments = sys.argv[1:]
log = os.open(scored, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
rows = Scorer.rows

def noted(self, images, batch, stamps, begun):
    os.write(log, f"{os.getpid()} {batch.rows[0]} {batch.rows[-1]}\\n".encode())
    while processes == "0" and len({line.split()[0] for line in open(scored)}) < int(os.environ.get("WORLD_SIZE", 1)):
        time.sleep(0.01)
    time.sleep(float(seconds))
    return rows(self, images, batch, stamps, begun)

Scorer.rows = noted
for rank in range(int(processes)):
    if os.fork() == 0:
        os.environ.update(RANK=str(rank), WORLD_SIZE=processes, LOCAL_RANK=str(rank))
        break
else:
    if int(processes):
        sys.exit(sum(os.wait()[1] not in (0, 9) for _ in range(int(processes))))
cli.main(arguments)
"""


def harness():
    """Return the kill harness as a module."""
    spec = importlib.util.spec_from_file_location("kill_stage_one", HARNESS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def expected(blocks: Path) -> dict[str, bytes]:
    """What every cache here must hold: that of a single process."""
    return harness().content_of(stage_one(blocks, blocks.parent / "alone.h5", shard_size=2))


class Work:
    """One cache, and the processes that make it."""

    def __init__(self, blocks: Path, folder: Path) -> None:
        self.cache, self.log, self._script = folder / "shared.h5", folder / "scored.txt", folder / "script.py"
        self._script.write_text(SCRIPT)
        self.arguments = [
            "pseudolabel", "--dataset", "blocks", "--manifest", str(blocks / "blocks.yaml"), "--workers", "0",
            "--shard-size", "2", "--tower", "torch", "--cache", str(self.cache),
        ]  # fmt: skip

    def start(self, *launcher: str, forks: int = 0, seconds: float = 0.0) -> subprocess.Popen[str]:
        """Start processes that wait some seconds before each batch."""
        command = [sys.executable, *launcher, str(self._script), str(forks), str(seconds), str(self.log)]
        return subprocess.Popen(
            [*command, *self.arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def scored(self) -> list[tuple[int, int, int]]:
        """Return what was scored so far: the process, the first and the last row."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [(int(pid), int(first), int(last)) for pid, first, last in map(str.split, lines)]

    def counts(self) -> Counter[int]:
        """Return how often each image was scored."""
        return Counter(row for _, first, last in self.scored() for row in range(first, last + 1))

    def wait_for(self, processes: int) -> None:
        """Wait until this many processes have begun to score."""
        deadline = time.monotonic() + 300
        while len({pid for pid, _, _ in self.scored()}) < processes:
            assert time.monotonic() < deadline, f"{processes} processes did not begin: {self.scored()}"
            time.sleep(0.005)


@pytest.fixture
def work(blocks: Path, tmp_path: Path) -> Work:
    return Work(blocks, tmp_path)


def output_of(process: subprocess.Popen[str]) -> str:
    """Return what a process printed; it must have ended well."""
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    return printed


@pytest.mark.process
@pytest.mark.parametrize(
    "processes", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)]
)
def test_torchrun_shares_the_work_and_one_process_speaks(work: Work, expected: dict, processes: int) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    printed = output_of(work.start(*launcher))
    assert harness().content_of(work.cache) == expected
    assert work.counts() == Counter(range(16))
    assert len({pid for pid, _, _ in work.scored()}) == processes
    assert printed.count("2 views an image") + printed.count("views an image and flip") == 1, printed
    assert len(re.findall("images scored", printed)) == 1, printed
    assert [name for name in without_logs(work.cache.parent) if "shared" in name] == ["shared.h5"]


@pytest.mark.slow
@pytest.mark.process
def test_the_others_finish_what_a_killed_rank_has_left(work: Work, expected: dict) -> None:
    ranks = work.start(forks=3, seconds=0.4)
    work.wait_for(3)
    victim, first, last = work.scored()[-1]
    os.kill(victim, signal.SIGKILL)
    assert not (parts_folder(work.cache) / f"part-{first // 2:06d}.h5").exists(), "killed too late to lose a shard"
    output_of(ranks)
    assert harness().content_of(work.cache) == expected
    assert work.counts() == Counter([*range(16), *range(first, last + 1)])
    assert (
        victim not in {pid for pid, *rows in work.scored() if rows == [first, last]} or len(work.scored()) == SHARDS + 1
    )


@pytest.mark.process
def test_a_second_run_helps_and_others_are_refused(
    work: Work, expected: dict, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    running = work.start(seconds=1.0)
    work.wait_for(1)
    for another, complaint in (
        (["--restart", "--yes"], "another process is scoring into"),
        (["--grid", "3"], "run that was started differently"),
    ):
        assert call(*work.arguments, *another) == 1
        [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert complaint in line
    assert running.poll() is None and work.scored()[-1][2] < 15, "too late to have refused anything"
    assert call(*work.arguments) == 0
    output_of(running)
    assert harness().content_of(work.cache) == expected
    assert 0 < len(work.scored()) < SHARDS and max(work.counts().values()) == 1


def test_what_a_killed_process_left_beside_the_cache_goes(blocks: Path, tmp_path: Path, expected: dict) -> None:
    (tmp_path / ".x.h5.parts.old").mkdir()
    (tmp_path / ".x.h5.parts.old" / "part-000000.h5").write_bytes(b"of a deletion that was killed")
    (tmp_path / ".x.h5.4711.tmp").write_bytes(b"of a cache that was being written")
    (tmp_path / ".y.h5.4711.tmp").write_bytes(b"of another one, which may be written now")
    cache = stage_one(blocks, tmp_path / "x.h5", shard_size=2)
    assert harness().content_of(cache) == expected
    assert without_logs(tmp_path) == [".y.h5.4711.tmp", "x.h5"]


def killed(arguments: list[object], *, images: int, kills: int, processes: int, folder: Path) -> str:
    """Run the kill harness and return what it says."""
    given = ["--images", images, "--kills", kills, "--processes", processes, "--shard-size", 2, "--work", folder]
    command = [sys.executable, HARNESS, *given, "--", *arguments]
    done = subprocess.run([str(a) for a in command], capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("processes", [1, 3])
def test_kills_at_any_moment_change_nothing(blocks: Path, tmp_path: Path, processes: int) -> None:
    blocks_here = [
        "--dataset",
        "blocks",
        "--manifest",
        blocks / "blocks.yaml",
        "--tower",
        "torch",
    ]  # which starts sooner
    said = killed(blocks_here, images=16, kills=6, processes=processes, folder=tmp_path)
    assert said.startswith("6 kills") and said.rstrip().endswith("equal in every byte")


@pytest.mark.process
@pytest.mark.slow
@pytest.mark.parametrize("processes", [1, 3])
def test_many_kills_change_nothing(tmp_path: Path, processes: int) -> None:
    draw_blocks(tmp_path / "data", train_images=150, test_images=50)
    drawn = ["--dataset", "blocks", "--manifest", tmp_path / "data" / "blocks.yaml"]
    said = killed(drawn, images=200, kills=60, processes=processes, folder=tmp_path / "work")
    assert said.startswith("60 kills") and said.rstrip().endswith("equal in every byte")


def test_the_harness_finds_faults() -> None:
    module = harness()
    faults: list[str] = []

    def ledger(*events: tuple[str, list[int]], on_disk: set[int]):
        kept = module.Ledger(4, 2, faults)
        for what, numbers in events:
            kept.note(module.Event(1, 0.0, what, numbers))
        kept.close(on_disk)
        return kept

    first = [("claim", [0]), ("rows", [0, 1])]
    second = [("claim", [1]), ("rows", [2, 3]), ("published", [1])]
    ledger(*first, ("published", [0]), *second, on_disk={0, 1}).judge()
    ledger(*first, *first, ("published", [0]), *second, on_disk={0, 1}).judge()  # taken over: the first holder has died
    killed_once = ledger(*first, on_disk=set())
    for what, numbers in [*first, ("published", [0]), *second]:
        killed_once.note(module.Event(2, 1.0, what, numbers))
    killed_once.judge()
    assert faults == []

    ledger(*first, ("published", [0]), *first, on_disk={0})
    assert faults.pop() == "image 1 was scored again after its shard was published"
    faults.clear()
    ledger(*first, ("published", [0]), on_disk=set())
    assert faults.pop() == "part 0 was published and is gone"
    ledger(*first, first[1], ("published", [0]), *second, on_disk={0, 1}).judge()
    assert faults == [f"image {n} was scored 2 times, expected 1 to 1" for n in (0, 1)]
    faults.clear()
    ledger(*second, on_disk={1}).judge()
    assert faults == [f"image {n} was scored 0 times, expected 1 to 1" for n in (0, 1)]
