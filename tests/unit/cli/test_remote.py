"""`celeriac control`, `inspect` and `status`, with a node that the test plays."""

from __future__ import annotations

import asyncio
import threading
import time

import click
import pytest

from celeriac.brokers.topics import Topic
from celeriac.cli import plugins
from celeriac.wire.control import read_command, write_answer

ANSWERS = {
    "ping": {"ok": "pong"},
    "stats": {"total": {"shop.pay": 2}, "pid": 7},
    "revoked": [],
    "registered": ["shop.pay", "shop.remind"],
    "clock": 7,
    "pool_shrink": {"error": "none would be left"},
}


class Played:
    """Answer commands as one node, over the bus of an app."""

    def __init__(self, app):
        self.app = app
        self.heard = []
        self.ready, self.over = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.listen()))
        self.thread.start()
        assert self.ready.wait(60)

    async def listen(self):
        async with self.app.bus.station() as station:
            subscription = await station.subscribe([Topic("celery.pidbox")], deadline_at=time.monotonic() + 60)
            self.ready.set()
            while not self.over.is_set():
                for notice in await subscription.hear(timeout=0.01):
                    command = read_command(notice)
                    self.heard.append(command)
                    answer = write_answer(command, "w1@host", ANSWERS.get(command.method, {"ok": "done"}))
                    if answer is not None and command.is_for("w1@host"):
                        await station.reply([answer], deadline_at=time.monotonic() + 60)

    def stop(self):
        self.over.set()
        self.thread.join()


@pytest.fixture
def node(shop):
    node = Played(shop.app)
    yield node
    node.stop()


def test_status_lists_those_who_answer(command, node):
    run = command("status", "-d", "w1@host")

    assert (run.code, run.out) == (0, "->  w1@host: OK\n\n1 node online.\n")
    assert command("status", "-d", "w1@host", "--json").document == {"w1@host": {"ok": "pong"}}
    assert command("-q", "status", "-d", "w1@host").out == "w1@host: OK\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ping", "        pong\n"),
        ("stats", '    {\n        "pid": 7,\n        "total": {\n            "shop.pay": 2\n        }\n    }\n'),
        ("revoked", "    - empty -\n"),
        ("registered", "    * shop.pay\n    * shop.remind\n"),
        ("clock", "    7\n"),
    ],
)
def test_answers_are_shown_as_celery_shows_them(command, node, name, shown):
    run = command("inspect", "-d", "w1@host", name)

    assert (run.code, run.out) == (0, f"->  w1@host: OK\n{shown}\n1 node online.\n")


def test_json_has_the_answers_alone(command, node):
    assert command("inspect", "-j", "-d", "w1@host", "stats").document == {"w1@host": ANSWERS["stats"]}
    assert command("control", "heartbeat", "--json", "-d", "w1@host").document == [{"w1@host": {"ok": "done"}}]


@pytest.mark.parametrize(
    ("typed", "arguments"),
    [
        (["inspect", "query_task", "a", "b"], {"ids": ["a", "b"]}),
        (["inspect", "conf", "yes"], {"with_defaults": True}),
        (["inspect", "memdump", "3"], {"samples": 3}),
        (["control", "rate_limit", "shop.pay", "10/m"], {"task_name": "shop.pay", "rate_limit": "10/m"}),
        (["control", "time_limit", "shop.pay", "5", "10"], {"task_name": "shop.pay", "soft": 5.0, "hard": 10.0}),
        (["control", "terminate", "KILL", "a", "b"], {"signal": "KILL", "task_id": ["a", "b"]}),
        (
            ["control", "revoke", "a", "--terminate", "--signal", "INT"],
            {"task_id": ["a"], "terminate": True, "signal": "INT"},
        ),
        (["control", "add_consumer", "mail"], {"queue": "mail"}),
        (["control", "revoke_by_stamped_headers", "a=1", "b=2"], {"headers": ["a=1", "b=2"]}),
        (["control", "pool_restart"], {}),
    ],
)
def test_words_become_arguments(command, node, typed, arguments):
    command(*typed, "-d", "w1@host")

    [heard] = node.heard
    assert (heard.method, heard.arguments, heard.destination) == (typed[1], arguments, ("w1@host",))


def test_a_node_that_could_not_makes_the_command_fail(command, node):
    run = command("control", "pool_shrink", "-d", "w1@host")

    assert (run.code, run.out) == (1, "->  w1@host: ERROR\n        none would be left\n")


def test_nobody_answers(command, shop):
    for typed in (["status"], ["inspect", "ping"], ["control", "heartbeat"]):
        run = command(*typed, "-t", "0.05")

        assert (run.code, run.out) == (69, "")
        assert "No nodes replied within time constraint" in run.err


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["inspect", "nonesuch"], "there is no inspect command 'nonesuch'. There are: active, active_queues,"),
        (["inspect", "rate_limit"], "there is no inspect command 'rate_limit'"),
        (["control", "ping"], "there is no control command 'ping'"),
        (["control"], "name a command; --list shows them"),
        (["inspect"], "name a command"),
        (["inspect", "memdump", "x"], "samples of memdump: invalid literal"),
        (["inspect", "conf", "perhaps"], "yes or no is needed"),
        (["inspect", "ping", "x"], "ping takes no arguments; there is no place for 'x'"),
        (["control", "heartbeat", "--terminate"], "--terminate and --signal are for revoking"),
    ],
)
def test_what_cannot_be_said_is_refused(command, shop, typed, said):
    run = command(*typed)

    assert run.code == 2
    assert said in run.err


@pytest.mark.parametrize("kind", ["inspect", "control"])
def test_commands_are_listed(command, shop, kind):
    run = command(kind, "--list")
    told = command(kind, "--list", "--json").document

    assert run.out.startswith(f"{kind.capitalize()} Commands:\n")
    assert ("ping" in told) == (kind == "inspect")
    assert all(name in run.out and about["help"] for name, about in told.items())


# -- commands of packages -------------------------------------------------------------------------------------------


class Found:
    value = "warehouse.cli:stock"

    def __init__(self, load):
        self.load = load


def found_in(monkeypatch, group, load):
    monkeypatch.setattr(
        plugins, "entry_points", lambda **wanted: [Found(load)] if wanted == {"group": group, "name": "stock"} else []
    )


@pytest.mark.parametrize("group", ["celeriac.commands", "celery.commands"])
def test_a_command_of_a_package_has_the_app(command, shop, monkeypatch, group):
    @click.command()
    @click.argument("item")
    @click.pass_context
    def stock(ctx, item):
        click.echo(f"{item} of {ctx.obj.app.main}")

    found_in(monkeypatch, group, lambda: stock)

    assert command("stock", "tea").out == "tea of shop\n"


def test_one_that_cannot_be_loaded_is_named(command, shop, monkeypatch):
    def broken():
        raise ImportError("no warehouse")

    found_in(monkeypatch, "celery.commands", broken)
    assert "'stock' (warehouse.cli:stock) cannot be loaded: ImportError('no warehouse')" in command("stock").err
    found_in(monkeypatch, "celery.commands", lambda: 7)
    assert "is no click command: 7" in command("stock").err
