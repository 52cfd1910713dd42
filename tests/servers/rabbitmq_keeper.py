"""One RabbitMQ for all processes of a test run: whoever asks first has it started, and it ends with the last user.

A program of its own keeps it, `python -m tests.servers.rabbitmq_keeper FOLDER`, for no process of the run outlives all
others for certain. In the folder are:

    starting   locked by the one who has it started
    users      locked by all users together; the keeper waits until it gets this lock for itself
    server     what the keeper says: where the server is, or why there is none. There while it may be used
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from bench.rabbitmq_server import RabbitMissing, RabbitServer

_SAYS_WITHIN: Final = 90.0  # longer than a server that does not come up is waited for
_LOOK_EVERY: Final = 0.05
_ROOT: Final = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def shared_server(folder: Path) -> Iterator[RabbitServer]:
    """Use the server that is kept in a folder.

    Raises:
        RabbitMissing: there is none to start.
    """
    folder.mkdir(exist_ok=True)
    with (folder / "users").open("w") as users:
        with _locked(folder / "starting"):
            fcntl.flock(users, fcntl.LOCK_SH)  # a keeper that ends its server has this for as long
            if not _said(folder).exists():
                _start_keeper(folder)
            said = json.loads(_said(folder).read_text())
        if "missing" in said:
            raise RabbitMissing(said["missing"])
        yield RabbitServer(folder, ports=said["ports"])


def _start_keeper(folder: Path) -> None:
    with (folder / "keeper.log").open("ab") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.rabbitmq_keeper", str(folder)],
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    deadline_at = time.monotonic() + _SAYS_WITHIN
    while not _said(folder).exists():
        if keeper.poll() is not None or time.monotonic() > deadline_at:
            keeper.kill()
            pytest.fail(f"the keeper of RabbitMQ said nothing:\n{(folder / 'keeper.log').read_text()[-3000:]}")
        time.sleep(_LOOK_EVERY)
    keeper.returncode = 0  # it outlives this process, and nobody asks how it ended


def keep(folder: Path) -> None:
    """Run the server until nobody uses it."""
    server = RabbitServer(folder)
    try:
        server.start()
        _say(folder, {"ports": server.ports})
    except RabbitMissing as missing:
        _say(folder, {"missing": str(missing)})
    with _locked(folder / "users"):
        _said(folder).unlink()
        server.stop()


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _said(folder: Path) -> Path:
    return folder / "server"


def _say(folder: Path, what: dict[str, object]) -> None:
    """Write it so that whoever finds it finds all of it."""
    written = folder / "server.new"
    written.write_text(json.dumps(what))
    written.rename(_said(folder))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the run ends of it, and then this does
    keep(Path(sys.argv[1]))
