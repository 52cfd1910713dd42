"""What a node holds and has done, under Celery's names (`celery.worker.state`)."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from celeriac import Celery
from celeriac.testing import start_worker
from celeriac.worker import state
from celeriac.worker.commands.panel import Panel, inspect_command


def wait_until(claim: Any) -> None:
    until = time.monotonic() + 60
    while not claim():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.005)


def is_empty() -> bool:
    parts = (state.active_requests, state.reserved_requests, state.requests, state.total_count, state.revoked)
    return not any(map(len, parts))


def test_it_shows_what_the_node_of_this_process_does():
    assert is_empty()
    app = Celery("shop", broker="memory://worker-state", set_as_current=False)
    gate = threading.Event()
    app.task(name="shop.pay")(lambda number: gate.wait(60) and None)

    with start_worker(app, hostname="w1@host", perform_ping_check=False, prefetch_multiplier=10):
        runs = app.send_task("shop.pay", (1,), task_id="runs")
        wait_until(lambda: len(state.active_requests) == 1)
        waits = app.send_task("shop.pay", (2,), task_id="waits")
        wait_until(lambda: len(state.reserved_requests) == 2)
        [active] = state.active_requests
        seen = sorted(one.id for one in state.reserved_requests)
        waiting = state.requests["waits"]
        app.control.revoke("never")
        wait_until(lambda: "never" in state.revoked)
        gate.set()
        for result in (runs, waits):
            result.get(timeout=60)
        wait_until(lambda: state.total_count["shop.pay"] == 2)

        assert (active.id, active.name, active.args, active.hostname) == ("runs", "shop.pay", [1], "w1@host")
        assert seen == ["runs", "waits"]
        assert (waiting.args, waiting.time_start, waiting == active) == ([2], None, False)
        assert (dict(state.total_count), state.total_count["shop.ship"]) == ({"shop.pay": 2}, 0)
        wait_until(lambda: not state.requests)
    app.close()

    assert is_empty()


@pytest.mark.parametrize("name", ["worker_pid", "delivery_info", "acknowledged"])
def test_a_request_has_the_fields_that_monitors_see(name: str):
    request = state.Request({"id": "1", "name": "shop.pay", name: 7})

    assert (getattr(request, name), repr(request)) == (7, "<Request: shop.pay[1]>")
    with pytest.raises(AttributeError, match="has no 'colour'"):
        _ = request.colour


def test_the_software_is_what_events_tell():
    assert (state.SOFTWARE_INFO["sw_ident"], list(state.SOFTWARE_INFO)) == (
        "py-celeriac",
        ["sw_ident", "sw_ver", "sw_sys"],
    )
    assert (state.should_stop, state.should_terminate, len(state.scheduled_requests)) == (None, None, 0)


def test_commands_of_users_see_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Panel, "data", dict(Panel.data))
    monkeypatch.setattr(Panel, "meta", dict(Panel.meta))

    @inspect_command(name="busy")
    def busy(_: Any) -> int:
        from celeriac.worker.state import active_requests

        return len(active_requests)

    app = Celery("shop", broker="memory://worker-state-2", set_as_current=False)
    with start_worker(app, hostname="w1@host", perform_ping_check=False):
        [answer] = app.control.broadcast("busy", reply=True, limit=1, timeout=10) or [{}]
    app.close()

    assert answer == {"w1@host": 0}
