"""Commands, options and exit codes; each command imports its work when it runs, so that help is instant."""

import errno
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Annotated, Any

import typer

from ...pipeline.errors import AevlpError, Notice
from ...pipeline.runtime.ranks import this_rank
from ..declaration import declared_in
from ..interrupted import forget, what_is_kept
from ..terminal import drop_the_rest, never_raise
from .build import add
from .table import CACHE_COMMANDS, CACHES, COMMANDS

RENAMED = {"--observe": "--simulate"}
NO_WAY_IN = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)  # of a path that was named, wherever it is first looked at
NO_WAY_OUT = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EPIPE,
)  # of what is printed
LONGEST = 200  # characters of it that are shown


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(version("aevlp"))
        raise typer.Exit


app = typer.Typer(
    help="Many images, one label each: train a good multi-label classifier from one cached pass of multi-focus CLIP.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)


for declared in COMMANDS:
    add(app, declared)
caches = typer.Typer(help="Check, extend, merge, compare and cut caches.", no_args_is_help=True)
for declared in CACHE_COMMANDS:
    add(caches, declared)
app.add_typer(caches, name="cache", rich_help_panel=CACHES)


@app.callback()
def _aevlp(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", is_eager=True, callback=_say_version)
    ] = False,
) -> None: ...


def main(arguments: list[str] | None = None) -> Any:
    """Run a command line and exit: 0 done, 1 a user's mistake in one line, 2 wrong usage, 130 interrupted."""
    with suppress(ValueError):  # not in the main thread, where no signal arrives
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # what ends a job cleans up as Ctrl-C does
        sys.unraisablehook = _interrupt_again
    from ..console import narrated

    never_raise()
    forget()
    try:
        with warnings.catch_warnings():
            warnings.showwarning = partial(_show, warnings.showwarning)
            with narrated(True):
                _refuse_renamed(sys.argv[1:] if arguments is None else arguments)
                try:
                    app(args=arguments)
                finally:
                    sys.stdout.flush()
    except AevlpError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        said = _of_a_system_error(error)
        if said is None:
            raise
        if error.errno != errno.EPIPE:  # `| head` has seen enough
            print(f"error: {said}", file=sys.stderr)
        drop_the_rest()
        sys.exit(1)
    except SystemExit as stop:
        if stop.code == 130 and this_rank().first:  # what typer makes of an interrupt
            print(f"interrupted: {what_is_kept()}", file=sys.stderr)
        raise


def _of_a_system_error(error: OSError) -> str | None:
    """Return what is said of a path that may not be entered and of an output that takes no more; None of what is our mistake."""
    if error.filename is not None and error.errno in NO_WAY_IN:
        return f"cannot use {str(error.filename)[:LONGEST]!r}: {error.strerror}"
    if error.filename is None and error.errno in NO_WAY_OUT:
        return f"cannot write: {error.strerror}"
    return None


def _refuse_renamed(arguments: list[str]) -> None:
    """Raise AevlpError for an option that has another name by now, where the command has that."""
    command = next((of for of in COMMANDS if arguments and of.name == arguments[0]), None)
    flags = [one.flag for one in declared_in(command.options)] if command else []
    for argument in arguments:
        name, _, value = argument.partition("=")
        if (now := RENAMED.get(name)) in flags:
            raise AevlpError(f"{name} is called {now} now: pass {now} {value or 'REGIME'} instead")


def _show(usual: Callable[..., None], message: Any, category: type[Warning], *place: Any, **more: Any) -> None:
    """Say a notice in a line; other warnings are shown as Python shows them."""
    if not issubclass(category, Notice):
        usual(message, category, *place, **more)
        return
    from ..console import say

    say(str(message))


def _interrupt_again(lost: Any) -> None:
    """Repeat an interrupt that came while Python could not raise it, such as in the callback of a weak reference."""
    if issubclass(lost.exc_type, KeyboardInterrupt):
        main_thread = threading.main_thread().ident
        threading.Timer(0.05, lambda: signal.pthread_kill(main_thread or 0, signal.SIGTERM)).start()
    else:
        sys.__unraisablehook__(lost)
