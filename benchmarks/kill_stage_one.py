"""Stage one killed at random moments, many times: nothing published is scored again, and the cache is the same, byte for byte.

Usage: python benchmarks/kill_stage_one.py [--kills 200] [--images 2000] [--processes 1] [--shard-size 8] [--workers 0]
       [--seed 0] [--work FOLDER] [-- --dataset scenes --data-root FOLDER …]
What stands after `--` goes to `aevlp pseudolabel`. Each attempt starts the processes, kills one of them with SIGKILL at a moment
drawn beforehand, and soon after stops the others (SIGTERM; SIGKILL where they still start up); the next attempt goes on. When a
cache is done before all kills are, it is compared, and the next one is begun. Prints a line; exit 1 where something differs.

This program imports aevlp once and forks each process of an attempt. In them, what stage one does is noted in a log.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np
import open_clip  # noqa: F401  once, for the processes that are forked from this one

from aevlp.pipeline.score_cache.unfinished import Shard, parts_folder
from aevlp.pipeline.scoring import parts as part_store
from aevlp.pipeline.scoring.parts import PartStore
from aevlp.pipeline.scoring.scorer import Scorer
from aevlp.stages.cache_log import log_of
from aevlp.stages.commands import app as cli
from aevlp.stages.stage_one import pseudolabel

PATIENCE = 180  # seconds that an attempt may take before it counts as hanging
DEAF = (
    5  # seconds after which SIGTERM is sent again: Python loses an exception that is raised while it collects garbage
)

# A moment to kill at: the share of all kills, the event that is waited for, and the longest wait after it, in units of what the
# uninterrupted run took for start-up, a shard, writing a part, making the cache, and removing the parts.
MOMENTS = {
    "start-up": (0.15, "start", "start-up"),
    "scoring": (0.55, "claim", "shard"),
    "publishing": (0.15, "publish", "publish"),
    "merging": (0.12, "merge", "merge"),
    "removing": (0.03, "remove", "remove"),
}
# What a process was at when it was killed, by the last that it noted.
PHASES = {
    "start": "start-up",
    "begin": "taking stock",
    "claim": "scoring",
    "rows": "scoring",
    "publish": "publishing",
    "published": "between shards",
    "merge": "merging",
    "merged": "removing",
    "remove": "removing",
    "removed": "removing",
}


@dataclass
class Event:
    """Something that a process did: its id, a time in seconds, what, and numbers: of a shard, or of the first and last row."""

    pid: int
    when: float
    what: str
    numbers: list[int]


@dataclass
class Ledger:
    """What was scored for one cache, judged as it comes in: no image of a published shard may be scored again."""

    images: int
    shard_size: int
    faults: list[str]
    counts: Counter[int] = field(default_factory=Counter)
    published: set[int] = field(default_factory=set)
    interrupted: Counter[int] = field(default_factory=Counter)
    holders: dict[int, int] = field(default_factory=dict)  # of each shard that is being scored, the process

    def note(self, event: Event) -> None:
        """Take in what a process did."""
        if event.what == "claim":
            [shard] = event.numbers
            self.interrupted[shard] += shard in self.holders
            self.holders[shard] = event.pid
        elif event.what == "published":
            self.published.add(event.numbers[0])
            if self.holders.pop(event.numbers[0], None) != event.pid:
                self.faults.append(f"part {event.numbers[0]} was published by a process that did not hold it")
        elif event.what == "rows":
            for row in range(event.numbers[0], event.numbers[1] + 1):
                self.counts[row] += 1
                if row // self.shard_size in self.published:
                    self.faults.append(f"image {row} was scored again after its shard was published")

    def close(self, on_disk: set[int]) -> None:
        """Take in the end of an attempt: the parts that are there, and that its processes hold nothing any more."""
        self.faults += [f"part {n} was published and is gone" for n in sorted(self.published - on_disk)]
        self.published |= on_disk
        self.interrupted.update(self.holders.keys() - on_disk)
        self.holders.clear()

    def judge(self) -> None:
        """Take in that the cache is done: each image once, and once more for each interruption of its shard at most."""
        for row in range(self.images):
            most = 1 + self.interrupted[row // self.shard_size]
            if not 1 <= self.counts[row] <= most:
                self.faults.append(f"image {row} was scored {self.counts[row]} times, expected 1 to {most}")


class Log:
    """The events of all processes, in the order in which they happened: each is one write to the end of one file."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR)
        self._read = 0

    def write(self, what: str, *numbers: int) -> None:
        """Note what this process does."""
        line = " ".join(map(str, (os.getpid(), time.monotonic(), what, *numbers)))
        os.write(self._handle, f"{line}\n".encode())

    def new(self) -> list[Event]:
        """Return the events since the last call."""
        content = b""
        while more := os.pread(self._handle, 1 << 20, self._read + len(content)):
            content += more
        content = content[: content.rfind(b"\n") + 1]  # a reader may see a write half done
        self._read += len(content)
        events = (line.split() for line in content.decode().splitlines())
        return [Event(int(pid), float(when), what, [*map(int, n)]) for pid, when, what, *n in events]


def observe(log: Log) -> None:
    """Have stage one note in the log what it does, in this process and those that are forked from it."""
    begin, claim, publish, rows = PartStore.begin, PartStore.claim, PartStore.publish, Scorer.rows
    write, remove = pseudolabel.write_cache, part_store.remove_parts

    @contextmanager
    def noted_claim(self: PartStore, shard: Shard):
        with claim(self, shard) as mine:
            if mine:
                log.write("claim", shard.number)
            yield mine

    def noted_rows(self: Scorer, images, batch, stamps, begun):
        log.write("rows", batch.rows[0], batch.rows[-1])
        return rows(self, images, batch, stamps, begun)

    def noted_publish(self: PartStore, shard: Shard, header, content) -> None:
        log.write("publish", shard.number)
        publish(self, shard, header, content)
        log.write("published", shard.number)

    def around(before: str, work: Callable, after: str) -> Callable:
        def noted(*arguments):
            log.write(before)
            work(*arguments)
            log.write(after)

        return noted

    PartStore.begin = around("begin", begin, "begin")
    PartStore.claim, PartStore.publish, Scorer.rows = noted_claim, noted_publish, noted_rows
    pseudolabel.write_cache = around("merge", write, "merged")
    part_store.remove_parts = pseudolabel.remove_parts = around("remove", remove, "removed")


def start(arguments: list[str], rank: int, of: int, log: Log, output: Path) -> int:
    """Start a process of stage one and return its id; what it prints goes to a file."""
    if pid := os.fork():
        return pid
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    code = 70
    try:
        os.environ.update(RANK=str(rank), WORLD_SIZE=str(of), LOCAL_RANK=str(rank))
        handle = os.open(output, os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        log.write("start")
        cli.main(arguments)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    except KeyboardInterrupt:  # before the command line caught it
        code = 130
    except BaseException:
        traceback.print_exc()  # into the file: this process ends here
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def content_of(path: Path) -> dict[str, bytes]:
    """Return the bytes of every dataset of an HDF5 cache."""
    content: dict[str, bytes] = {}
    with h5py.File(path, "r") as file:
        for name, dataset in file.items():
            values = np.asarray(dataset[()])
            content[f"{name} {values.dtype} {values.shape}"] = (
                repr(values.tolist()).encode() if values.dtype == object else values.tobytes()
            )
    return content


def parts_on_disk(cache: Path) -> set[int]:
    """Return the numbers of the parts that are published."""
    return {int(part.stem.removeprefix("part-")) for part in parts_folder(cache).glob("part-*.h5")}


class Harness:
    """Kills stage one. arguments: of the command line, without the cache. processes: of each attempt."""

    def __init__(
        self, arguments: list[str], images: int, shard_size: int, processes: int, seed: int, work: Path
    ) -> None:
        self.images, self.shard_size, self.processes = images, shard_size, processes
        self.work, self.folder = work, work / "killed"
        self.cache = self.folder / "cache.h5"
        self.arguments = arguments
        self.log = Log(work / "events.log")
        self.random = random.Random(seed)
        self.kills: Counter[str] = Counter()
        self.running: set[int] = set()
        self.caches = self.scored = self.repeated = 0
        self.faults: list[str] = []
        observe(self.log)

    def run(self, kills: int) -> None:
        """Make a cache without interruption, then caches with this many kills, and compare."""
        reference = self.work / "reference.h5"
        self.longest = self._uninterrupted(reference)
        self.expected = content_of(reference)
        moments: list[str] = []
        for name, (share, _, _) in MOMENTS.items():
            moments += [name] * round(share * kills)
        moments = (moments + ["scoring"] * kills)[:kills]
        late = ("merging", "removing")  # once all is scored
        self.random.shuffle(moments)
        moments.sort(key=lambda name: late.index(name) if name in late else -1)
        self._renew()
        while moments and not self.faults:
            if self._attempt(moments[0]):
                moments.pop(0)
            if self.cache.exists() and not parts_folder(self.cache).exists():
                self._finish()
                self._renew()
        if not self.faults:
            self._finish()

    def _renew(self) -> None:
        self.ledger = Ledger(self.images, self.shard_size, self.faults)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _uninterrupted(self, cache: Path) -> dict[str, float]:
        """Make a cache and return how long the parts of the work took, in seconds."""
        pid = start([*self.arguments, "--cache", str(cache)], 0, 1, self.log, self.work / "output-0.txt")
        if os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]):
            raise SystemExit((self.work / "output-0.txt").read_text())
        at: dict[str, list[float]] = {}
        for event in self.log.new():
            at.setdefault(event.what, []).append(event.when)
        return {
            "start-up": at["begin"][0] - at["start"][0],
            "shard": (at["published"][-1] - at["claim"][0]) / len(at["published"]),
            "publish": sum(at["published"]) / len(at["published"]) - sum(at["publish"]) / len(at["publish"]),
            "merge": at["merged"][0] - at["merge"][0],
            "remove": at["removed"][0] - at["remove"][0],
        }

    def _start(self, number: int) -> int:
        arguments = [*self.arguments, "--cache", str(self.cache)]
        return start(arguments, number, self.processes, self.log, self._output(number))

    def _output(self, number: int) -> Path:
        return self.work / f"output-{number}.txt"

    def _attempt(self, moment: str | None) -> bool:
        """Start the processes, kill one at the moment, then stop the others, and return whether one was killed."""
        numbers = {self._start(n): n for n in range(self.processes)}
        self.running = running = set(numbers)
        last = dict.fromkeys(numbers, "start")
        victim = self.random.choice([*numbers])
        _, awaited, longest = MOMENTS[moment] if moment else (0, "", "")
        killed = hit = stopped = False
        stop_at, deadline = float("inf"), time.monotonic() + PATIENCE
        while running:
            came = self._take_in(last, awaited)
            if came and awaited in ("merge", "remove"):  # which one process does
                victim = came[0]
            if victim in came and not killed:
                time.sleep(self.random.uniform(0, self.longest[longest]))
                os.kill(victim, signal.SIGKILL)
                killed = True
                stop_at = time.monotonic() + self.random.uniform(0, self.longest["shard"])
            if time.monotonic() > stop_at:
                self.repeated += len(running - {victim}) * stopped
                stopped, stop_at = True, time.monotonic() + DEAF
                for pid in running - {victim}:  # what loads weights may take an interrupt for a fault of theirs
                    os.kill(pid, signal.SIGKILL if last[pid] == "start" else signal.SIGTERM)
            if time.monotonic() > deadline:
                self.faults.append(f"processes hang after {[last[pid] for pid in running]}")
                deadline = float("inf")
                for pid in running:
                    os.kill(pid, signal.SIGKILL)
            for pid in list(running):
                ended, status = os.waitpid(pid, os.WNOHANG)
                if not ended:
                    continue
                running.discard(pid)
                code = os.waitstatus_to_exitcode(status)
                if pid == victim and killed and code == -signal.SIGKILL:
                    hit = True
                elif code != 0 and not (stopped and code in (130, -signal.SIGKILL)):
                    said = self._output(numbers[pid]).read_text()[-2000:]
                    self.faults.append(f"a process ended with {code}: {said}")
            time.sleep(0.0005)
        self._take_in(last, "")
        if hit:
            self.kills[PHASES[last[victim]]] += 1
        whole = set(range(-(-self.images // self.shard_size)))
        self.ledger.close(whole if self.cache.exists() else parts_on_disk(self.cache))
        return hit

    def _take_in(self, last: dict[int, str], awaited: str) -> list[int]:
        """Take in the new events, keep the last one of each process, and return which did what is waited for."""
        events = self.log.new()
        for event in events:
            self.ledger.note(event)
            last[event.pid] = event.what
        return [event.pid for event in events if event.what == awaited]

    def _finish(self) -> None:
        """Run to the end, and compare the cache, and what it took, with what was expected."""
        self._attempt(None)
        self.ledger.judge()
        self.caches += 1
        self.scored += self.ledger.counts.total()
        if not self.cache.exists():
            self.faults.append("no cache was made")
            return
        found = content_of(self.cache)
        for name in sorted(self.expected.keys() | found.keys()):
            if self.expected.get(name) != found.get(name):
                self.faults.append(f"the cache differs in {name}")
        if left := [path.name for path in self.folder.iterdir() if path not in (self.cache, log_of(self.cache))]:
            self.faults.append(f"left beside the cache: {left}")


def main() -> int:
    """Kill, compare, print a line, and return the exit code."""
    parser = argparse.ArgumentParser(description="Kill stage one at random moments and compare what it makes.")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--shard-size", type=int, default=8)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="a folder for what is made; default: a temporary one")
    parser.add_argument("arguments", nargs="*", default=["--dataset", "scenes"], help="of aevlp pseudolabel, after --")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        sizes = {"--limit": given.images, "--shard-size": given.shard_size, "--workers": given.workers}
        arguments = ["pseudolabel", *given.arguments, *(str(text) for pair in sizes.items() for text in pair)]
        started = time.monotonic()
        harness = Harness(arguments, given.images, given.shard_size, given.processes, given.seed, work)
        try:
            harness.run(given.kills)
        finally:
            for pid in harness.running:
                os.kill(pid, signal.SIGKILL)
        seconds = time.monotonic() - started
    for fault in harness.faults[:20]:
        print(fault, file=sys.stderr)
    phases = ", ".join(f"{count} {phase}" for phase, count in harness.kills.most_common())
    caches = f"{harness.caches} cache{'s' if harness.caches > 1 else ''}"
    again = f", SIGTERM had to be sent again {harness.repeated} times" if harness.repeated else ""
    print(
        f"{harness.kills.total()} kills of {given.processes} process{'es' if given.processes > 1 else ''} ({phases}) in "
        f"{seconds:,.0f} s: {caches} of {given.images:,} images, {harness.scored:,} images scored where "
        f"{harness.caches * given.images:,} were needed{again}; {'DIFFERENT' if harness.faults else 'equal in every byte'}"
    )
    return 1 if harness.faults else 0


if __name__ == "__main__":
    sys.exit(main())
