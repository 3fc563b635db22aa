"""A small program in a process of its own: what crashes it, or never ends, is said in a line."""

import subprocess
import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """How it ended. lines: what it printed; wrong: what went wrong, empty where nothing did."""

    lines: list[str]
    wrong: str = ""


def apart(program: str, *arguments: str, seconds: float) -> Ended:
    """Run a Python program, given what it prints as lines, and end it when its time is up."""
    command = [sys.executable, "-X", "utf8", "-c", program, *arguments]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        return Ended(_lines(error.stdout or b""), f"no answer within {seconds:g} seconds")
    wrong = ""
    if done.returncode < 0:
        wrong = f"the process was ended by signal {-done.returncode}"
    elif done.returncode:
        said = _lines(done.stderr.strip())
        wrong = said[-1][:200] if said else f"exit code {done.returncode}"
    return Ended(_lines(done.stdout), wrong)


def _lines(printed: bytes) -> list[str]:
    return printed.decode("utf-8", "replace").splitlines()
