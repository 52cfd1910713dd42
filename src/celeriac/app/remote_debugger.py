"""Stop in a task and look at it from another terminal: Celery's `celery.contrib.rdb`.

`set_trace()` in a body waits until somebody connects (``telnet 127.0.0.1 6899``), who then has Python's debugger there.
Time limits go on meanwhile.
"""

from __future__ import annotations

import errno
import logging
import os
import pdb
import socket
import sys
from types import FrameType
from typing import Any, Final

from celeriac.exceptions import ImproperlyConfigured

logger: Final = logging.getLogger("celeriac.rdb")

CELERY_RDB_HOST: Final = os.environ.get("CELERY_RDB_HOST") or "127.0.0.1"
"""Where to listen. Whoever can connect can do anything that the task can."""

DEFAULT_PORT: Final = 6899


def port_of_environment() -> int:
    """Return the port from which on a free one is looked for.

    Raises:
        ImproperlyConfigured: `CELERY_RDB_PORT` is no port.
    """
    said = os.environ.get("CELERY_RDB_PORT") or str(DEFAULT_PORT)
    if not said.isascii() or not said.isdecimal() or not 0 < int(said) < 65_536:
        raise ImproperlyConfigured(f"the variable CELERY_RDB_PORT is to be a port, got {said!r}")
    return int(said)


class Rdb(pdb.Pdb):
    """Debug over a socket. It is made by `set_trace`, and waits for somebody to connect.

    Args:
        host: where to listen.
        port: the port, or the first of them that is free; None is that of `CELERY_RDB_PORT`, else 6899.
        port_search_limit: ports to try.

    Attributes:
        host, port: where it listens.
    """

    def __init__(
        self, host: str = CELERY_RDB_HOST, port: int | None = None, port_search_limit: int = 100, **more: Any
    ) -> None:
        self.host = host
        server = _listening(host, port_of_environment() if port is None else port, port_search_limit)
        self.port: int = server.getsockname()[1]
        logger.warning("a task waits for a debugger: telnet %s %d", host, self.port)
        with server:
            self._client, address = server.accept()
        self._file = self._client.makefile("rw")
        logger.warning("a debugger has come from %s", address)
        super().__init__(completekey="tab", stdin=self._file, stdout=self._file)
        self.use_rawinput = False

    def hang_up(self) -> None:
        """End the connection. May be called twice."""
        for one in (self._file, self._client):
            try:
                one.close()
            except OSError as error:
                logger.debug("the debugger's connection was gone already: %s", error)

    def do_continue(self, arg: str) -> bool | None:
        """Let the task go on."""
        self.set_continue()
        self.hang_up()
        return True

    do_c = do_cont = do_continue
    do_EOF = do_continue  # noqa: N815 - pdb's name; who hangs up lets the task go on

    def do_quit(self, arg: str) -> bool | None:
        """End the task with an error (`bdb.BdbQuit`)."""
        self.set_quit()
        self.hang_up()
        return True

    do_q = do_exit = do_quit


def debugger() -> Rdb:
    """Return a debugger, when somebody has connected."""
    return Rdb()


def set_trace(frame: FrameType | None = None) -> None:
    """Wait for somebody to connect, and stop at the next line of the caller, or of a frame.

    Raises:
        ImproperlyConfigured: there is no free port where to listen.
    """
    debugger().set_trace(frame or sys._getframe().f_back)


def _listening(host: str, port: int, limit: int) -> socket.socket:
    for tried in range(port, min(port + limit, 65_536)):
        server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            server.bind((host, tried))
            server.listen(1)
        except OSError as error:
            server.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                continue
            raise ImproperlyConfigured(f"a debugger cannot listen at {host} (CELERY_RDB_HOST): {error}") from error
        return server
    raise ImproperlyConfigured(f"no port of {host} from {port} on is free for a debugger; {limit} were tried")
