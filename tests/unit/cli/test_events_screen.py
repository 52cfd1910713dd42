"""The table of `celeriac events`: what is on the screen."""

from __future__ import annotations

import time
from typing import Any

import pytest
from rich.console import Console

from celeriac.app.events.state import State
from celeriac.cli.events_screen import drawn


@pytest.fixture
def state() -> State:
    return State()


def tell(state: State, kind: str, **fields: Any) -> None:
    now = time.time()
    state.event({"type": kind, "hostname": "w1@host", "timestamp": now, "local_received": now, "clock": 1} | fields)


def shown(state: State, *, height: int = 24) -> list[str]:
    console = Console(width=160, height=height, color_system=None)
    with console.capture() as captured:
        console.print(drawn(state, height))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_nodes_and_tasks_are_shown_as_they_are(state: State) -> None:
    tell(state, "worker-heartbeat", active=2, processed=7, loadavg=[0.5, 1.0, 1.25], freq=60)
    tell(state, "task-received", uuid="id-1", name="shop.pay", args="(1,)", kwargs="{}")
    tell(state, "task-succeeded", uuid="id-1", result="'paid'", runtime=0.25)

    lines = shown(state)

    assert "w1@host online 2 7 0.50 1.00 1.25" in lines
    [row] = [line for line in lines if line.startswith("shop.pay")]
    assert row.startswith("shop.pay id-1 SUCCESS w1@host ")
    assert row.endswith(" 0.250 'paid'")
    assert "3 events, 1 tasks; Ctrl-C ends this" in lines


def test_a_node_that_has_gone_is_offline(state: State) -> None:
    tell(state, "worker-online")
    tell(state, "worker-offline")

    assert any(line.startswith("w1@host offline") for line in shown(state))


def test_the_newest_tasks_fill_the_screen_and_no_more(state: State) -> None:
    for number in range(100):
        tell(state, "task-received", uuid=f"id-{number}", name="shop.pay", clock=number)

    lines = shown(state, height=20)

    assert len(lines) <= 20
    rows = [line.split()[1] for line in lines if line.startswith("shop.pay")]
    assert rows[0] == "id-99"
    assert rows == [f"id-{number}" for number in range(99, 99 - len(rows), -1)]


def test_nothing_that_a_task_says_moves_the_cursor(state: State) -> None:
    tell(state, "task-received", uuid="id-1", name="shop.pay\x1b[2J\n", args="(1,\r)")

    text = "\n".join(shown(state))

    assert "\x1b" not in text
    assert "shop.pay [2J" in text
