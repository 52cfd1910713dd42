"""Every command of nodes, given on our command line to a real node: it takes the words, and the node does it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from celeriac.worker.commands.table import commands_of
from tests.integration.project import PATIENCE, Project, wait_until

pytestmark = pytest.mark.timeout(300)

PROGRAM = """
import contextlib, io, json, sys

from celeriac.cli.main import main

for line in sys.stdin:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["-A", "tasks", "--json", *json.loads(line)])
    print(json.dumps([code, out.getvalue()]), flush=True)
"""
"""The command line, for many commands in one process."""

ID = "0a0a0a0a-0000-4000-8000-000000000001"

INSPECTED: dict[str, tuple[list[str], Any]] = {
    "ping": ([], {"ok": "pong"}),
    "active": ([], []),
    "reserved": ([], []),
    "scheduled": ([], []),
    "revoked": ([], []),
    "registered": (["max_retries"], "tasks.add [max_retries=3]"),
    "stats": ([], "max-concurrency"),
    "active_queues": ([], '"name": "celery"'),
    "clock": ([], '"clock": '),
    "conf": ([], '"broker_url": '),
    "query_task": ([ID], {}),
    "memdump": ([], "rss (end): "),
    "memsample": ([], "MB"),
    "report": ([], "celeriac:"),
    "objgraph": (["1"], "objgraph"),
}
"""What is asked, with which words, and the answer or a part of it."""

TOLD: dict[str, tuple[list[str], str]] = {
    "rate_limit": (["tasks.add", "10/m"], "new rate limit set successfully"),
    "time_limit": (["tasks.add", "60", "120"], "time limits set successfully"),
    "add_consumer": (["mail"], "add consumer mail"),
    "cancel_consumer": (["mail"], "no longer consuming from mail"),
    "pool_grow": (["1"], "pool will grow"),
    "pool_shrink": (["1"], "pool will shrink"),
    "autoscale": (["3", "1"], "Autoscale not enabled"),
    "pool_restart": ([], "Pool restarts not enabled"),
    "revoke": ([ID], f"tasks {{'{ID}'}} flagged as revoked"),
    "terminate": (["KILL", ID], "terminate: tasks unknown"),
    "cancel": ([ID], "cancel: tasks unknown"),
    "revoke_by_stamped_headers": (["tenant=t9"], "headers {'tenant': 't9'} flagged as revoked, but not terminated"),
    "enable_events": ([], "task events enabled"),
    "disable_events": ([], "task events disabled"),
    "heartbeat": ([], ": null"),
    "shutdown": ([], "shutting down"),
}
"""What a node is told, in this order, and what it says then."""

ELSEWHERE = {"election": "nodes hold it among themselves, and answer nobody"}


def test_no_command_is_forgotten() -> None:
    assert set(commands_of("inspect")) == set(INSPECTED)
    assert set(commands_of("control")) == {*TOLD, *ELSEWHERE}


class Terminal:
    """The command line of a project's app, for many commands in one process."""

    def __init__(self, project: Project) -> None:
        command = [sys.executable, "-c", PROGRAM]
        self.process = subprocess.Popen(
            command, cwd=project.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, *words: str) -> tuple[int, str]:
        """Give a command; return the exit code and what is written."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([*words, "--timeout", str(PATIENCE)]) + "\n")
        self.process.stdin.flush()
        code, out = json.loads(self.process.stdout.readline())
        return code, out

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def terminal(project: Project) -> Iterator[Terminal]:
    terminal = Terminal(project)
    yield terminal
    terminal.close()


@pytest.mark.engines("sqlite", "rabbitmq")
def test_a_node_answers_every_command_that_there_is(project: Project, terminal: Terminal) -> None:
    node = project.start(concurrency=1)
    [name] = wait_until(lambda: project.app.control.ping(timeout=1.0) or None)[0]

    for command, (words, want) in INSPECTED.items():
        code, out = terminal("inspect", command, *words, "-d", name)
        assert code == 0, command
        [(answerer, answer)] = json.loads(out).items()
        assert answerer == name
        assert want in out if isinstance(want, str) else answer == want, f"{command}: {out}"
    for command, (words, want) in TOLD.items():
        code, out = terminal("control", command, *words, "-d", name)
        assert want in out, f"{command}: {out}"
        assert code == ('"error"' in out), command
    assert node.wait_exit() == 0
