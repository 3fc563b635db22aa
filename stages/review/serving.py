"""An application on the loopback address of this machine, until it is interrupted."""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress

import uvicorn
from starlette.types import ASGIApp

from ...pipeline.errors import AevlpError
from ..console import say
from .gate import LOOPBACK, Door

TRIES = 50  # ports
CLOSING_SECONDS = 2  # that open requests have at the end


def serve(made: Callable[[Door], ASGIApp], port: int, refused: Callable[[str], None]) -> None:
    """Serve an application at a port, or the next free one, until Ctrl-C; AevlpError where there is none.

    made: of the door that the application is behind, as its address is known then. refused: is told of each refusal, in a line.
    """
    with bound(port) as listening:
        found = listening.getsockname()[1]
        if found != port:
            say(f"port {port} is taken: the page is at {found}")
        door = Door(found, refused)
        config = uvicorn.Config(
            made(door),
            log_level="error",
            log_config=None,
            access_log=False,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=CLOSING_SECONDS,
        )
        say(f"open {door.address}")
        say("the page is for this machine alone; Ctrl-C here ends it, every answer is kept")
        with suppress(KeyboardInterrupt):  # how a person ends it
            uvicorn.Server(config).run([listening])


def bound(port: int) -> socket.socket:
    """Return a socket that listens at a port of the loopback address, or at the next that is free."""
    for number in range(port, min(port + TRIES, 65536)):
        taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind((LOOPBACK, number))
            taken.listen()
            return taken
        except OSError as error:
            taken.close()
            if error.errno != errno.EADDRINUSE:
                raise AevlpError(f"--port {number}: cannot listen there: {error.strerror}") from error
    raise AevlpError(f"--port {port}: none of {TRIES} ports from there on is free: choose another")
