"""What a node does with control commands of all kinds, told over the bus of the memory broker."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from celeriac import Celery
from celeriac.brokers.topology import Queue
from celeriac.testing import start_worker
from celeriac.wire.jsontypes import dumps
from celeriac.wire.notices import Notice
from celeriac.worker.commands.panel import Panel, control_command, inspect_command
from celeriac.worker.commands.table import BUILT_IN, commands_of
from celeriac.worker.consuming import no_ack_concern
from tests.hostile_commands import HOSTILE

NODE = "w1@host"
numbers = itertools.count()


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("shop", broker=f"memory://commands-{next(numbers)}", set_as_current=False)
    app.task(name="shop.pay")(lambda: "paid")
    with start_worker(app, hostname=NODE, perform_ping_check=False):
        assert asked(app, "ping") == {"ok": "pong"}
        yield app
    app.close()


@pytest.fixture
def panel() -> Iterator[None]:
    data, meta = dict(Panel.data), dict(Panel.meta)
    yield
    for table, before in ((Panel.data, data), (Panel.meta, meta)):
        table.clear()
        table.update(before)  # type: ignore[arg-type]  # each with its own


def asked(app: Celery, command: str, **arguments: Any) -> Any:
    [answer] = app.control.broadcast(command, arguments, reply=True, limit=1, timeout=10) or [{}]
    return answer.get(NODE, "nothing")


def say(app: Celery, body: bytes, *, headers: bytes = b"{}", content_type: str = "application/json") -> None:
    notice = Notice(exchange="celery.pidbox", body=body, headers=headers, content_type=content_type)
    app.bus.broadcast([notice], deadline_at=time.monotonic() + 5)


# -- hostile and malformed ------------------------------------------------------------------------------------------


def test_what_is_hostile_changes_nothing_and_is_logged_once_per_kind(app: Celery, caplog: pytest.LogCaptureFixture):
    for _ in range(20):
        for body in HOSTILE:
            say(app, body)
            say(app, body, headers=b"[" * 1_000, content_type="application/x-python-serialize")

    assert asked(app, "ping") == {"ok": "pong"}
    assert app.send_task("shop.pay").get(timeout=60) == "paid"
    told = [record.getMessage() for record in caplog.records if record.levelname != "DEBUG"]
    assert sum("is no control command" in line for line in told) == 1
    assert sum("is not known here" in line for line in told) <= 1
    assert len(told) < len(HOSTILE)
    assert [queue["name"] for queue in asked(app, "active_queues")] == ["celery"]
    assert asked(app, "registered") == ["shop.pay"]


@pytest.mark.parametrize("body", HOSTILE[10:])
def test_who_asks_for_what_cannot_be_is_told(app: Celery, body: bytes):
    with app.bus.inbox("reply.celery.pidbox", deadline_at=time.monotonic() + 5) as inbox:
        reply_to = dumps({"exchange": inbox.exchange, "routing_key": inbox.routing_key})
        say(app, body[:-1] + b', "ticket": "1", "reply_to": ' + reply_to + b"}")
        [answer] = inbox.collect(deadline_at=time.monotonic() + 10)

    assert b'"error"' in answer.body


# -- queues ---------------------------------------------------------------------------------------------------------


def test_who_has_a_queue_consumed_is_told_what_of_it_has_no_effect(caplog: pytest.LogCaptureFixture):
    app = Celery("shop", broker=f"memory://commands-{next(numbers)}", set_as_current=False)
    app.conf.task_queues = [Queue("celery"), Queue("archive", no_ack=True), Queue("mail")]

    with start_worker(app, hostname=NODE, queues=["celery"], perform_ping_check=False):
        answers = [asked(app, "add_consumer", queue=queue)["ok"] for queue in ("mail", "archive", "archive")]
    app.close()

    assert answers == [
        "add consumer mail",
        "add consumer archive (its no_ack=True has no effect)",
        "already consuming from archive",
    ]
    assert [record.getMessage() for record in caplog.records if "no_ack" in record.getMessage()] == [
        no_ack_concern(["archive"], app.amqp.queues)
    ]


# -- commands of users ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("panel")
def test_commands_of_users_run_beside_the_loop_and_block_nobody(app: Celery):
    gate = threading.Event()

    @inspect_command(alias="dump_stock")
    def stock(state: Any, item: str = "all") -> Any:
        gate.wait(60)
        return {item: [state.app.main, state.hostname]}

    with app.bus.inbox("reply.celery.pidbox", deadline_at=time.monotonic() + 5) as inbox:
        reply_to = {"exchange": inbox.exchange, "routing_key": inbox.routing_key}
        question = {"method": "dump_stock", "arguments": {"item": "tea"}, "ticket": "1", "reply_to": reply_to}
        say(app, dumps(question))
        assert asked(app, "ping") == {"ok": "pong"}
        gate.set()
        [answer] = inbox.collect(deadline_at=time.monotonic() + 10)

    assert answer.body == b'{"w1@host": {"tea": ["shop", "w1@host"]}}'


@pytest.mark.usefixtures("panel")
def test_more_of_them_than_may_run_are_refused(app: Celery):
    gate = threading.Event()

    @control_command()
    def hang(state: Any) -> str:
        gate.wait(60)
        return "done"

    for _ in range(16):
        app.control.broadcast("hang")

    assert "try again later" in asked(app, "hang")["error"]
    gate.set()


@pytest.mark.usefixtures("panel")
def test_what_they_return_and_raise_is_answered(app: Celery, caplog: pytest.LogCaptureFixture):
    @control_command(name="raises")
    def fail(state: Any) -> None:
        raise LookupError("no such shelf")

    @control_command
    def leaves(state: Any) -> None:
        raise SystemExit(3)

    @inspect_command(name="odd")
    def odd_value(state: Any) -> Any:
        return {"a": {1, 2}}

    @inspect_command()
    async def later(state: Any, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "now"

    @inspect_command()
    def reaches(state: Any) -> Any:
        return state.consumer.qos

    assert asked(app, "raises") == {"error": "LookupError('no such shelf')"}
    assert "SystemExit(3)" in asked(app, "leaves")["error"]
    assert "JSON cannot carry a set" in asked(app, "odd")["error"]
    assert asked(app, "later", seconds=0.01) == "now"
    assert "a node has no consumer object" in asked(app, "reaches")["error"]
    assert "Traceback" in caplog.text


@pytest.mark.usefixtures("panel")
def test_what_packages_bring_along_is_loaded_when_it_is_asked_for(app: Celery, monkeypatch: pytest.MonkeyPatch):
    class Found:
        name, value = "stock", "warehouse.commands"

        def __init__(self, load: Any) -> None:
            self.load = load

    def register() -> None:
        inspect_command(name="shelves")(lambda state: ["a", "b"])

    def broken() -> None:
        raise ImportError("no warehouse")

    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [Found(broken), Found(lambda: register)])

    assert asked(app, "shelves") == ["a", "b"]


@pytest.mark.usefixtures("panel")
def test_an_answer_that_is_too_large_says_so(app: Celery):
    inspect_command(name="large")(lambda state: "x" * 17 * 1024 * 1024)

    assert "too large" in asked(app, "large")["error"] or "cannot be written" in asked(app, "large")["error"]


# -- the table ------------------------------------------------------------------------------------------------------


def test_a_command_says_how_it_is_given():
    inspected = commands_of("inspect")

    assert "hello" not in inspected
    assert inspected["registered"].alias == "dump_tasks"
    assert inspected["query_task"].variadic == "ids"
    assert Panel.data["dump_tasks"] is Panel.data["registered"]
    assert commands_of("control")["rate_limit"].help.startswith("Change how often")
    assert len(BUILT_IN) == 9


def test_a_command_is_one_of_two_kinds():
    with pytest.raises(ValueError, match="'control' or 'inspect'"):
        Panel.register(type="other")(lambda state: None)


# -- memory ---------------------------------------------------------------------------------------------------------


def test_what_keeps_objects_alive_is_drawn_where_the_library_is(app: Celery, monkeypatch: pytest.MonkeyPatch):
    drawn: dict[str, Any] = {}

    def show_backrefs(objects: list[Any], **options: Any) -> None:
        drawn.update(options, objects=objects, shown=[options["highlight"](one) for one in (*objects, [])])

    library = types.SimpleNamespace(by_type=lambda kind: [[kind], [kind], [kind]], show_backrefs=show_backrefs)
    monkeypatch.setitem(sys.modules, "objgraph", library)

    answer = asked(app, "objgraph", type="Held", num=2, max_depth=1_000_000)
    Path(answer["filename"]).unlink()

    assert answer == {"filename": drawn["filename"]}
    assert (drawn["objects"], drawn["shown"]) == ([["Held"], ["Held"]], [True, True, False])
    assert drawn["max_depth"] == 100


def test_without_the_library_it_says_what_to_install(app: Celery, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "objgraph", None)

    assert "pip install objgraph" in asked(app, "objgraph")["error"]
