"""A task is looked at from elsewhere, and goes on when who looks lets it."""

from __future__ import annotations

import bdb
import logging
import re
import socket
import threading
import time
from typing import Any

import pytest

from celeriac.app import remote_debugger
from celeriac.exceptions import ImproperlyConfigured


class Run(threading.Thread):
    """Run a body with a stop in it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.ended: Any = None

    def run(self) -> None:
        try:
            self.ended = self.body(6)
        except bdb.BdbQuit as error:
            self.ended = error

    @staticmethod
    def body(price: int) -> int:
        remote_debugger.set_trace()
        return price * 7


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv("CELERY_RDB_PORT", str(taken.getsockname()[1]))
    return Run()


def connect(run: Run, caplog: pytest.LogCaptureFixture) -> socket.socket:
    caplog.set_level(logging.WARNING, logger="celeriac.rdb")
    run.start()
    until = time.monotonic() + 20
    while not (found := re.search(r"telnet 127\.0\.0\.1 (\d+)", caplog.text)):
        assert time.monotonic() < until, caplog.text
        time.sleep(0.01)
    return socket.create_connection(("127.0.0.1", int(found[1])), timeout=20)


def told(client: socket.socket, line: str) -> str:
    """Say something, and return what comes until the next prompt."""
    client.sendall(line.encode())
    text = ""
    while not text.endswith("(Pdb) "):
        data = client.recv(4096)
        assert data, text
        text += data.decode()
    return text


def test_who_connects_sees_the_task_and_lets_it_go_on(run, caplog):
    with connect(run, caplog) as client:
        assert "return price * 7" in told(client, "")
        assert "6" in told(client, "p price\n")
        client.sendall(b"c\n")
        run.join(20)

    assert run.ended == 42


def test_who_hangs_up_lets_it_go_on(run, caplog):
    with connect(run, caplog) as client:
        told(client, "")
    run.join(20)

    assert run.ended == 42


def test_quitting_ends_it(run, caplog):
    with connect(run, caplog) as client:
        told(client, "")
        client.sendall(b"q\n")
        run.join(20)

    assert isinstance(run.ended, bdb.BdbQuit)


def test_where_it_listens_is_checked(monkeypatch):
    monkeypatch.setenv("CELERY_RDB_PORT", "http")
    with pytest.raises(ImproperlyConfigured, match="CELERY_RDB_PORT is to be a port, got 'http'"):
        remote_debugger.set_trace()
    with pytest.raises(ImproperlyConfigured, match=r"no port of 127\.0\.0\.1 from 70000 on is free"):
        remote_debugger.Rdb(port=70_000)
    with pytest.raises(ImproperlyConfigured, match=r"a debugger cannot listen at 192\.0\.2\.1"):
        remote_debugger.Rdb(host="192.0.2.1", port=6_900)
