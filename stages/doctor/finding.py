"""One line of the doctor, and what is kept out of it: who is at work here, and what opens doors."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from getpass import getuser
from pathlib import Path
from typing import Literal

State = Literal["ok", "missing", "fault"]
_SECRETS = re.compile(r"\b(hf_|gh[pousr]_|sk-|AKIA)[A-Za-z0-9_-]{6,}")
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")


@dataclass(frozen=True)
class Finding:
    """What one check found.

    state: "ok"; "missing", for what may be missing; "fault", for what would stop usual work. found: in plain words. todo: what
    to do, empty where there is nothing.
    """

    name: str
    state: State
    found: str
    todo: str = ""

    def masked(self) -> "Finding":
        """Return it without what nobody should paste into a bug report."""
        return replace(self, name=masked(self.name), found=masked(self.found), todo=masked(self.todo))


def masked(text: str) -> str:
    """Return a text with ~ for the home folder, and without the user's name in paths, tokens and passwords in addresses."""
    text = _CREDENTIALS.sub("", _SECRETS.sub("(hidden)", text))
    home = str(Path("~").expanduser())
    if len(home) > 1:
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    with suppress(OSError, KeyError, ImportError):  # of an account without a name
        text = re.sub(rf"(?<=[/\\]){re.escape(getuser())}(?=[/\\\s:,;'\"]|$)", "USER", text)
    return text


def size(n: float) -> str:
    """Return a number of bytes as people say it."""
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}"
        n /= 1000
    return f"{n:,.1f} GB"


def is_set(variable: str) -> bool:
    """Return whether an environment variable says yes, as the hub reads it."""
    return os.environ.get(variable, "").upper() in ("1", "ON", "YES", "TRUE")
