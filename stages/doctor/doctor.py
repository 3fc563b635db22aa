"""This machine and this installation -> a line for each thing that is there, missing or wrong."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ...pipeline.errors import counted
from ...pipeline.quiet import first_line
from ..console import out, room, say
from ..declaration import takes
from ..results import Table
from ..terminal import shown
from .extras import extras
from .finding import Finding
from .libraries import libraries, this_program
from .machine import compiler, cores, devices, memory, shared_memory
from .options import DoctorOptions
from .pictures import codecs
from .places import data_sets, hub, weights, working_folder

CHECKS: tuple[tuple[str, Callable[[], list[Finding]]], ...] = (
    ("aevlp", this_program),
    ("libraries", libraries),
    ("CPU cores", cores),
    ("devices", devices),
    ("memory", memory),
    ("shared memory", shared_memory),
    ("compiler", compiler),
    ("pictures", codecs),
    ("working folder", working_folder),
    ("Hugging Face hub", hub),
    ("weights", weights),
    ("data sets", data_sets),
    ("extras", extras),
)
STYLES = {"ok": "green", "missing": "dim", "fault": "bold red"}
WORDS = {"ok": "ok", "missing": "missing", "fault": "FAULT"}


@dataclass(frozen=True, repr=False)
class Doctor(Table):
    """What the doctor found, a row each: name, state ("ok", "missing" or "fault"), found, todo."""

    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether there is a fault, which would stop usual work."""
        return bool(self.of("fault"))

    @property
    def rows(self) -> Sequence[dict[str, Any]]:
        """The findings, in their order."""
        return [asdict(finding) for finding in self.findings]

    def of(self, state: str) -> list[Finding]:
        """Return the findings of one state."""
        return [finding for finding in self.findings if finding.state == state]

    def summary(self) -> dict[str, Any]:
        """Return how many are there and missing, and what has a fault."""
        return {
            "ok": len(self.of("ok")),
            "missing": len(self.of("missing")),
            "faults": ", ".join(finding.name for finding in self.of("fault")) or "none",
        }

    def to_json(self) -> dict[str, Any]:
        """Return the summary and the rows, for a bug report: no user's name, home folder or token is in them."""
        return {"summary": self.summary(), "rows": list(self.rows)}


@takes(DoctorOptions)
def doctor(options: DoctorOptions) -> Doctor:
    """Return what this machine and installation have, what is missing, what is wrong, and what to do.

    Libraries are imported and devices tried in processes of their own; no check can end the others. Nothing is fetched: the hub
    is asked for three seconds at most whether it answers, and not where HF_HUB_OFFLINE is set.
    """
    say("looking at this machine; importing the libraries and trying the devices takes some seconds")
    return Doctor(tuple(line.masked() for name, check in CHECKS for line in safely(name, check)))


def safely(name: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Return what a check finds; a fault with its error where it fails itself."""
    try:
        return check()
    except Exception as error:  # a broken library may raise anything
        return [
            Finding(name, "fault", f"could not be looked at: {first_line(error)}", "report this line as a bug of aevlp")
        ]


def show(found: Doctor) -> None:
    """Print a line for each finding, what to do below it, and how many faults there are."""
    grid = Grid.grid(padding=(0, 2, 0, 0))
    for _ in range(2):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for finding in found.findings:
        said = Text(shown(finding.found))
        if finding.todo:
            said.append(shown(f"\n→ {finding.todo}"), style="bold" if finding.state == "fault" else "dim")
        mark = Text(WORDS[finding.state], style=STYLES[finding.state])
        grid.add_row(mark, Text(shown(finding.name)), said)
    Console(highlight=False, width=room()).print(grid)
    faults, missing = found.of("fault"), found.of("missing")
    rest = f"{counted(len(missing), 'thing')} that may be missing" if missing else "nothing is missing"
    if faults:
        out.print(f"{counted(len(faults), 'fault')}: {', '.join(f.name for f in faults)}; {rest}")
    else:
        out.print(f"nothing is wrong; {rest}")
