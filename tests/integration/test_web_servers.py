"""Web servers: they fork after the app was used, serve many requests at once, and may be made of greenlets."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bench.redis_server import free_port
from celeriac.brokers.topics import Topic
from celeriac.testing.buses import Operator
from tests.integration.project import PATIENCE, Project, wait_until
from tests.integration.stores import RedisStore

pytest.importorskip("gunicorn")

WORKERS = 3
THREADS = 4

# The app is used while it is loaded: with --preload before the fork, so that all workers have copies of the
# connections that were made for it.
WEB = """
import json
import os
import time
from urllib.parse import parse_qs

from celeriac.wire.notices import Notice
from tasks import add, app


def tell(what):
    app.bus.broadcast([Notice(exchange="web", body=what.encode())], deadline_at=time.monotonic() + 10)


tell("loaded")
assert add.delay(0, 0).get(timeout=60) == 0


def application(environ, start_response):
    number = int(parse_qs(environ["QUERY_STRING"])["number"][0])
    result = add.delay(number, 1)
    tell(result.id)
    answer = {"pid": os.getpid(), "id": result.id, "value": result.get(timeout=60)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]
"""


class Server:
    """A web server of the project."""

    def __init__(self, folder: Path, options: Sequence[str]) -> None:
        (folder / "web.py").write_text(WEB)
        self._log = folder / "web.log"
        self._port = free_port()
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{self._port}", *options, "web:application"],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until_it_answers(self) -> None:
        wait_until(lambda: self._process.poll() is not None or self._answers(), what=f"an answer\n{self.log}")
        assert self._process.poll() is None, self.log

    def _answers(self) -> bool:
        with contextlib.suppress(OSError):
            return self.ask(0)["value"] == 1
        return False

    def ask(self, number: int) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/?number={number}", timeout=PATIENCE) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def stop(self) -> int:
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        """Kill what still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(PATIENCE)
        print(self.log[-8_000:])


@contextlib.contextmanager
def serving(project: Project, *options: str) -> Iterator[Server]:
    server = Server(project.folder, ("-w", str(WORKERS), *options))
    try:
        server.wait_until_it_answers()
        yield server
    finally:
        server.close()


@pytest.mark.parametrize(
    "options",
    [
        pytest.param(["--preload", "-k", "gthread", "--threads", str(THREADS)], id="threads, preloaded"),
        pytest.param(["--preload", "-k", "sync"], id="processes, preloaded"),
        pytest.param(["-k", "gevent", "--worker-connections", "15"], id="greenlets"),
        pytest.param(["--preload", "-k", "gevent", "--worker-connections", "15"], id="greenlets, preloaded"),
    ],
)
def test_every_request_gets_the_result_of_its_own_call(project: Project, options: list[str]) -> None:
    if "gevent" in options:
        pytest.importorskip("gevent")
    node = project.start()
    operator = Operator(project.app.bus)
    ear = operator.subscribe(Topic("web"))

    with serving(project, *options) as server, ThreadPoolExecutor(40) as people:
        answers = list(people.map(server.ask, range(200)))
        for _ in range(50):  # a worker may be ready later than its siblings
            if len({answer["pid"] for answer in answers}) == WORKERS:
                break
            answers += people.map(server.ask, range(len(answers), len(answers) + 40))
        open_now = connections(project)
        stopped = server.stop()

    assert [answer["value"] for answer in answers] == list(range(1, len(answers) + 1))
    assert len({answer["id"] for answer in answers}) == len(answers)
    assert len({answer["pid"] for answer in answers}) == WORKERS
    told = {notice.body.decode() for notice in ear.rest()}
    operator.stop()
    assert {answer["id"] for answer in answers} <= told
    assert stopped == 0
    assert "Traceback" not in server.log
    # Each thread has one to send by, greenlets share as many as `broker_pool_limit` says; each process is told by one.
    assert open_now <= (WORKERS + 1) * (12 if "gevent" in options else THREADS + 2) + 10
    assert node.stop() == 0
    project.assert_clean()


def connections(project: Project) -> int:
    """Count the connections to the server, where there is one."""
    return len(project.store.client.client_list()) if isinstance(project.store, RedisStore) else 0
