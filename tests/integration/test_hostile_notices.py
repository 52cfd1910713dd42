"""What whoever reaches the bus may say: real nodes and receivers note it once, and go on as before."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import pytest

from celeriac.wire.notices import Notice
from tests.hostile_commands import HOSTILE
from tests.integration.project import PATIENCE, Project, wait_until

pytestmark = pytest.mark.timeout(300)

BROKEN_EVENTS = [
    b"",
    b"{",
    b"[7]",
    b"null",
    b"\xff",
    b'{"type": 7}',
    b'{"type": "task-sent", "clock": []}',
    b"[" * 10_000,
]


def say(project: Project, exchange: str, bodies: list[bytes], *, routing_key: str = "") -> None:
    """Tell all listeners everything, also with headers and of a content type that nobody can read."""
    notices = [
        Notice(exchange=exchange, routing_key=routing_key, body=body, headers=headers, content_type=content_type)
        for body in bodies
        for headers, content_type in ((b"{}", "application/json"), (b"[" * 100, "x/y"))
    ]
    project.app.bus.broadcast(notices, deadline_at=time.monotonic() + PATIENCE)


def pinged(project: Project) -> Any:
    def answers() -> list[dict[str, Any]] | None:
        return project.app.control.broadcast("ping", reply=True, timeout=10, limit=1)

    [answer] = wait_until(answers, what=f"an answer\n{project.logs()}")
    [value] = answer.values()
    return value


def test_a_node_outlives_hostile_commands(project: Project):
    node = project.start(concurrency=1)
    assert pinged(project) == {"ok": "pong"}
    child = project.call("pid").get(timeout=PATIENCE)

    for _ in range(3):
        say(project, "celery.pidbox", HOSTILE)
    assert pinged(project) == {"ok": "pong"}  # in its turn, after all the others

    assert project.call("pid").get(timeout=PATIENCE) == child
    assert node.stop() == 0
    assert node.log.count("is no control command") == 1
    assert "Traceback" not in node.log


def test_a_receiver_outlives_hostile_events(project: Project, caplog: pytest.LogCaptureFixture):
    heard: list[str] = []
    state = project.app.events.State()

    def take(event: dict[str, Any]) -> None:
        state.event(event)
        heard.append(event["type"])

    receiver = project.app.events.Receiver(handlers={"*": take})
    hearing = threading.Thread(target=receiver.capture)
    hearing.start()
    try:
        with project.app.events.Dispatcher(hostname="me@here") as events:

            def hears(kind: str) -> bool:
                events.send(kind)
                return kind in heard

            wait_until(lambda: hears("shop-open"), what="an event before")
            with caplog.at_level(logging.WARNING):
                say(project, "celeryev", BROKEN_EVENTS, routing_key="task.multi")
                wait_until(lambda: hears("shop-closed"), what="an event after")
    finally:
        receiver.should_stop = True
        hearing.join(PATIENCE)

    assert not hearing.is_alive()
    assert len([record for record in caplog.records if "no event" in record.getMessage()]) == 1
    assert set(heard) == {"shop-open", "shop-closed"}
