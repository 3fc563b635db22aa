"""The terminal: results on standard output, progress and notes on standard error; notes go to a log as well."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stdout, suppress
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from ..pipeline.runtime.ranks import Rank
from .terminal import shown

out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


UNBOUND = 200  # the width where nobody has said one

LOG = logging.getLogger("aevlp")
LOG.setLevel(logging.DEBUG)
LOG.propagate = False  # a library that sets up logging, as open_clip does, would have each line shown, or shown twice


class _Terminal(logging.Handler):
    """Shows notes as lines on standard error. Errors are not shown: they are raised, and said where they end a command."""

    def emit(self, record: logging.LogRecord) -> None:
        if logging.INFO <= record.levelno < logging.ERROR:
            err.print(escape(record.getMessage()))


_TERMINAL = _Terminal()


class _File(logging.FileHandler):
    """Writes notes to the end of a file; one that cannot be written, as on a full disk, stops nothing and says nothing."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Pass over a note that could not be written: the work itself says what is wrong with the disk."""


def say(text: str) -> None:
    """Note a line for the reader of the terminal or the log, which no program reads."""
    LOG.info(text)


def log(text: str) -> None:
    """Note for the log alone what the terminal shows in another way."""
    LOG.debug(text)


@contextmanager
def each_once() -> Iterator[None]:
    """Make a note once within the block, however often it is said: what is true of a cache, each training of it finds."""
    said: set[str] = set()

    def first(record: logging.LogRecord) -> bool:
        message = record.getMessage()
        new = message not in said
        said.add(message)
        return new

    LOG.addFilter(first)
    try:
        yield
    finally:
        LOG.removeFilter(first)


def is_narrated() -> bool:
    """Return whether notes and progress are shown."""
    return _TERMINAL in LOG.handlers


@contextmanager
def narrated(wanted: bool | None = None) -> Iterator[None]:
    """Show notes and progress within the block, or not; None: as around it, else where a person is looking."""
    before = is_narrated()
    if wanted is None:
        wanted = before or _somebody_looks()
    _show_notes(wanted)
    try:
        yield
    finally:
        _show_notes(before)


def _show_notes(wanted: bool) -> None:
    (LOG.addHandler if wanted else LOG.removeHandler)(_TERMINAL)


def _somebody_looks() -> bool:
    """Return whether this is a terminal or a notebook."""
    notebook = "ipykernel" in sys.modules
    return notebook or (sys.stderr is not None and sys.stderr.isatty())


@contextmanager
def logged_to(file: Path) -> Iterator[None]:
    """Write notes, with their times, to the end of a file as well; where it cannot be written they are shown alone."""
    with noted() as into:
        into(file)
        yield


@contextmanager
def noted() -> Iterator[Callable[[Path], None]]:
    """Give what writes the block's notes to the end of a file as well: those of before it is called, and each that follows."""
    waiting = MemoryHandler(sys.maxsize, flushLevel=sys.maxsize, flushOnClose=False)

    def into(file: Path) -> None:
        with suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            handler = files.enter_context(closing(_File(file, encoding="utf-8")))
            handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
            waiting.setTarget(handler)
            waiting.flush()
            waiting.capacity = 0  # none waits any more

    LOG.addHandler(waiting)
    with ExitStack() as files:
        files.callback(waiting.close)
        files.callback(LOG.removeHandler, waiting)
        yield into


def let_speak(rank: Rank) -> None:
    """Keep the processes of one run from saying the same: only the first prints more than its errors."""
    out.quiet = err.quiet = not rank.first


@contextmanager
def results_aside() -> Iterator[None]:
    """Send what is printed to standard error, so that a JSON object stays alone on standard output."""
    out.stderr = True
    try:
        with _descriptor_aside(), redirect_stdout(sys.stderr):  # a loss of the user's own may print
            yield
    finally:
        out.stderr = False


@contextmanager
def _descriptor_aside() -> Iterator[None]:
    """Give standard error in the place of standard output to processes that are started, and to code that is not Python's."""
    with ExitStack() as before:
        with suppress(OSError):  # one of the two is closed
            _flush()
            kept = os.dup(1)
            before.callback(os.close, kept)
            os.dup2(2, 1)
            before.callback(os.dup2, kept, 1)
            before.callback(_flush)
        yield


def _flush() -> None:
    if sys.__stdout__ is not None and not sys.__stdout__.closed:
        sys.__stdout__.flush()


def print_result(what: object, text: str) -> None:
    """Print a result: in bold what came of a command, then the rest."""
    out.print(Text(str(what), style="bold").append(text, style="not bold"))


def print_json(value: Any) -> None:
    """Print one JSON object, and nothing else, on standard output; escaped where its encoding has not all characters."""
    text = json.dumps(value, ensure_ascii=False)
    print(text if shown(text) == text else json.dumps(value))


def print_table(title: str, header: Iterable[str], rows: Iterable[Iterable[object]], right: Iterable[int] = ()) -> None:
    """Print a table; `right` are the numbers of the columns that hold figures."""
    table = Table(title=shown(title), title_justify="left", title_style="bold")
    right = set(right)
    for n, name in enumerate(header):
        table.add_column(shown(name), justify="right" if n in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(shown(str(cell))) for cell in row))
    Console(highlight=False, width=room()).print(table)


def room() -> int:
    """Return how many characters a line of a table may have; a row stays one line in a pipe or a file, which have no width."""
    terminal = Console()
    return terminal.width if terminal.is_terminal or "COLUMNS" in os.environ else UNBOUND


@contextmanager
def silent(wanted: bool = True) -> Iterator[None]:
    """Print nothing in the block, or as always; errors are not printed but raised."""
    before = out.quiet, err.quiet
    out.quiet, err.quiet = wanted or before[0], wanted or before[1]
    try:
        yield
    finally:
        out.quiet, err.quiet = before


class Rate(ProgressColumn):
    """How many of a unit went by a second."""

    def __init__(self, unit: str, factor: int = 1) -> None:
        super().__init__()
        self.unit, self.factor = unit, factor

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed * self.factor:,.0f} {self.unit}/s")


def progress_bar(*rates: Rate) -> Progress:
    """Return a progress bar on standard error with what is done, the rates and the time left."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *rates,
        TimeRemainingColumn(),
        console=err,
        disable=not is_narrated(),
    )


@contextmanager
def byte_progress(what: str, size: int | None) -> Iterator[Callable[[int, int | None], None]]:
    """Show a progress bar of bytes on standard error; give the function that takes how many of how many are done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, disable=not is_narrated()) as bar:
        task = bar.add_task(what, total=size)
        yield lambda done, total: bar.update(task, completed=done, total=total if total is not None else size)
