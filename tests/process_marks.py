"""A test that starts another process says so with the mark `process`, or `browser` for Chromium; one without it fails.

An audit hook sees the ways to start a process, and `start` those of multiprocessing that it does not.
"""

import sys
from collections.abc import Generator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

EVENTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.system", "os.exec")
LOOKING_AROUND = (
    "ldconfig",
    "gcc",
    "cc",
    "g++",
    "ld",
    "uname",
    "lscpu",
    "objdump",
)  # by which libraries see the machine
started: list[str] = []


def note(event: str, arguments: tuple[object, ...]) -> None:
    """Note a process that is started, unless it is of a library that looks around on the machine."""
    if event in EVENTS:
        program = Path(str(arguments[0])).name if arguments else ""
        if program not in LOOKING_AROUND:
            started.append(f"{event} {program}".strip())


def start(self: BaseProcess, plain=BaseProcess.start) -> None:
    started.append("multiprocessing")
    plain(self)


sys.addaudithook(note)
BaseProcess.start = start


def marked(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that starts another process without the mark; a wrapper of pytest's hooks for setup and call."""
    started.clear()
    result = yield
    if started and not (item.get_closest_marker("process") or item.get_closest_marker("browser")):
        pytest.fail(f"it starts other processes ({started[0]}): mark it with pytest.mark.process", pytrace=False)
    return result
