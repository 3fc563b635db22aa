"""A small program in a process of its own: what crashes it, or never ends, is said in a line."""

import subprocess
import sys
from dataclasses import dataclass

from ...pipeline.errors import in_one_line


@dataclass(frozen=True)
class Ended:
    """How it ended. lines: what it printed; wrong: what went wrong, empty where nothing did."""

    lines: list[str]
    wrong: str = ""


def apart(program: str, *arguments: str, seconds: float) -> Ended:
    """Run a Python program, given what it prints as lines, and end it when its time is up."""
    command = [sys.executable, "-X", "utf8", "-c", program, *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, encoding="utf-8", errors="replace", timeout=seconds
        )
    except subprocess.TimeoutExpired as error:
        printed = error.stdout or b""
        text = printed if isinstance(printed, str) else printed.decode("utf-8", "replace")
        return Ended(text.splitlines(), f"no answer within {seconds:g} seconds")
    wrong = ""
    if done.returncode < 0:
        wrong = f"the process was ended by signal {-done.returncode}"
    elif done.returncode:
        said = done.stderr.strip().splitlines()
        wrong = in_one_line(said[-1], 200) if said else f"exit code {done.returncode}"
    return Ended(done.stdout.splitlines(), wrong)
