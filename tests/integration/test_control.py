"""Control commands to real nodes: they look, they change, and what they change holds at once."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.integration.project import PATIENCE, Project, wait_until
from tests.integration.stores import RedisStore, SqliteStore

pytestmark = pytest.mark.timeout(180)


def asked(project: Project, command: str, *, node: str = "w1", timeout: float = 10.0, **arguments: Any) -> Any:
    """Return what a node answers. It may begin to listen a moment after it has said that it is ready."""

    def answer() -> list[dict[str, Any]] | None:
        return project.app.control.broadcast(
            command, arguments, pattern=f"{node}@*", matcher="glob", reply=True, timeout=timeout, limit=1
        )

    [found] = wait_until(answer, what=f"an answer to {command}\n{project.logs()}")
    [value] = found.values()
    return value


@contextmanager
def load(project: Project, *, count: int, seconds: float = 0.0, queue: str = "celery") -> Iterator[list[str]]:
    """Have many short runs under way; at the end wait until all of them have ended."""
    names = [f"load-{number}" for number in range(count)]
    tasks = [project.call("noted", name, seconds, queue=queue) for name in names]
    yield names
    for task in tasks:
        task.get(timeout=PATIENCE)
    assert project.runs() == dict.fromkeys(names, 1)


def test_a_node_tells_what_it_does(project: Project):
    project.start("--prefetch-multiplier", "10", concurrency=1)
    running = project.call("gated", "running", "gate")
    project.wait_begun("running")
    waiting = project.call("noted", "waiting")

    [active] = asked(project, "active")
    [reserved] = wait_until(lambda: asked(project, "reserved"))
    found = asked(project, "query_task", ids=[running.id, waiting.id, "nobody"])

    assert (active["id"], active["args"], active["type"]) == (running.id, ["running", "gate"], "tasks.gated")
    assert active["hostname"].startswith("w1@")
    assert abs(active["time_start"] - time.time()) < PATIENCE
    assert str(active["worker_pid"]) == project.notes[0][2]
    assert active["delivery_info"]["routing_key"] == "celery"
    assert (reserved["id"], reserved["time_start"], reserved["worker_pid"]) == (waiting.id, None, None)
    assert {task_id: state for task_id, (state, _) in found.items()} == {running.id: "active", waiting.id: "reserved"}
    [safe] = asked(project, "active", safe=True)
    assert (safe["args"], safe["kwargs"]) == ("('running', 'gate')", "{}")
    project.open_gate("gate")
    waiting.get(timeout=PATIENCE)
    stats = wait_until(
        lambda: (told := asked(project, "stats"))["total"] == {"tasks.gated": 1, "tasks.noted": 1} and told
    )
    assert (stats["pool"]["max-concurrency"], len(stats["pool"]["processes"])) == (1, 1)
    assert stats["pid"] == project.nodes[0].pid


def test_a_queue_is_consumed_from_now_on_and_no_more(project: Project):
    project.start()

    assert asked(project, "add_consumer", queue="mail") == {"ok": "add consumer mail"}
    assert asked(project, "add_consumer", queue="mail") == {"ok": "already consuming from mail"}
    assert project.call("echo", "added", queue="mail").get(timeout=PATIENCE) == "added"
    assert [queue["name"] for queue in asked(project, "active_queues")] == ["celery", "mail"]
    assert asked(project, "cancel_consumer", queue="mail") == {"ok": "no longer consuming from mail"}
    project.call("noted", "cancelled", queue="mail")
    assert project.call("echo", "other").get(timeout=PATIENCE) == "other"

    [left] = project.kept()
    _, *counts = left.accounts  # a claim of both queues that was under way may have had it for a moment
    assert (left.queue, counts) == ("mail", [None, 0, 0, 0])
    assert project.began("cancelled") == 0


def test_a_queue_is_bound_as_it_is_said(project: Project):
    project.start()

    added = asked(
        project,
        "add_consumer",
        queue="news",
        exchange="all",
        exchange_type="topic",
        routing_key="a.#",
        queue_durable=True,
    )
    # It is bound when it is first claimed from, a second later at most.
    wait_until(lambda: project.app.broker.bindings("all", deadline_at=time.monotonic() + 5))
    routed = project.call("echo", "routed", exchange="all", exchange_type="topic", routing_key="a.b")

    assert added == {"ok": "add consumer news"}
    assert routed.get(timeout=PATIENCE) == "routed"
    [_, news] = asked(project, "active_queues")
    assert (news["exchange"]["type"], news["routing_key"]) == ("topic", "a.#")


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("pool", [("-P", "prefork"), ("-P", "threads", "--processes", "2")], ids=["prefork", "threads"])
def test_a_pool_grows_shrinks_and_starts_anew_under_load(project: Project, pool: tuple[str, ...]):
    project.start(*pool, "worker_pool_restarts=true", concurrency=2)
    pids = set(asked(project, "stats")["pool"]["processes"])

    with load(project, count=200, seconds=0.005):
        sizes = []
        for command, n in (("grow", 4), ("shrink", 5), ("grow", 1), ("shrink", 1), ("grow", 2)):
            assert asked(project, f"pool_{command}", n=n) == {"ok": f"pool will {command}"}
            sizes.append(asked(project, "stats")["pool"]["max-concurrency"])
            assert asked(project, "pool_restart") == {"ok": "reload started"}

    assert sizes == [6, 1, 2, 1, 3]
    wait_until(lambda: pids.isdisjoint(asked(project, "stats")["pool"]["processes"]))
    assert asked(project, "stats")["total"] == {"tasks.noted": 200}
    assert "error" in asked(project, "pool_shrink", n=3)


def test_new_limits_hold_for_what_begins_now(project: Project):
    project.start(concurrency=1)

    assert asked(project, "time_limit", task_name="tasks.noted", hard=0.3) == {"ok": "time limits set successfully"}
    with pytest.raises(Exception, match="TimeLimitExceeded"):
        project.call("noted", "limited", 60).get(timeout=PATIENCE)
    assert asked(project, "rate_limit", task_name="tasks.echo", rate_limit="1/h") == {
        "ok": "new rate limit set successfully"
    }
    assert [project.call("echo", 1).get(timeout=PATIENCE), project.call("echo", 2).state] == [1, "PENDING"]
    assert "tasks.echo [rate_limit=1/h]" in asked(project, "registered")
    assert asked(project, "rate_limit", task_name="tasks.echo", rate_limit=0) == {
        "ok": "rate limit disabled successfully"
    }
    assert project.call("echo", 3).get(timeout=PATIENCE) == 3


def test_a_node_stops_and_starts_again_when_it_is_told_to(project: Project):
    node = project.start("worker_pool_restarts=true")
    first = project.call("pid").get(timeout=PATIENCE)

    assert asked(project, "pool_restart", reload=True) == {"ok": "reload started"}
    node.wait_for_log("restarting")
    assert project.call("pid").get(timeout=PATIENCE) != first
    assert asked(project, "shutdown", timeout=10) == {"ok": "shutting down"}

    assert node.wait_exit() == 0
    project.assert_clean()


def test_stamped_tasks_are_revoked_those_to_come_too(project: Project):
    project.start(concurrency=1)
    running = project.call("gated", "running", "gate", tenant="t1", stamped_headers=["tenant"])
    project.wait_begun("running")
    waiting = project.call("noted", "waiting", tenant=["t2", "t1"], stamped_headers=["tenant"])
    other = project.call("noted", "other", tenant="t3", stamped_headers=["tenant"])

    project.app.control.revoke_by_stamped_headers({"tenant": ["t1"]})
    later = project.call("noted", "later", tenant="t1", stamped_headers=["tenant"])
    project.open_gate("gate")

    assert other.get(timeout=PATIENCE) == "other"
    wait_until(lambda: later.state == "REVOKED")
    assert (running.state, waiting.state) == ("SUCCESS", "REVOKED")
    assert project.runs() == {"running": 1, "other": 1}


@pytest.mark.engines("sqlite", "redis", "rabbitmq")
def test_it_answers_within_a_second_under_full_load(project: Project):
    project.start()
    over = threading.Event()

    def publish() -> None:
        while not over.is_set():
            for _ in range(100):
                project.app.send_task("tasks.echo", (1,), ignore_result=True)

    asked(project, "ping")
    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        time.sleep(0.5)
        took = []
        for command in ("ping", "stats", "active", "reserved", "active_queues") * 2:
            began = time.monotonic()
            asked(project, command)
            took.append(time.monotonic() - began)
    finally:
        over.set()
        publisher.join()

    assert sorted(took)[len(took) // 2] < 3 * 1.0, took  # the machine of the tests may be busy with others


OWN = """
import click
from celeriac.bootsteps import StartStopStep
from celeriac.worker.control import control_command

app.user_options["worker"].add(click.Option(["--shop"], default="none"))


class Door(StartStopStep):
    def __init__(self, parent, shop=None, **options):
        self.shop = shop

    def start(self, parent):
        note("opened", self.shop, parent.hostname)

    def stop(self, parent):
        note("closed", self.shop)


app.steps["worker"].add(Door)


@control_command(args=[("n", int)], signature="[N=1]")
def ring(state, n=1):
    note("rang", n)
    return {"ok": f"rang {n} times"}
"""


@pytest.mark.engines("sqlite")
def test_an_app_has_options_steps_and_commands_of_its_own(project: Project):
    project.use_also(OWN)
    node = project.start("--shop", "books")

    assert asked(project, "ring", n=2) == {"ok": "rang 2 times"}
    assert node.stop() == 0

    assert [words[:2] for words in project.notes] == [["opened", "books"], ["rang", "2"], ["closed", "books"]]


LISTENING = """
from celeriac.bootsteps import Step
from celeriac.signals import task_prerun


class Listens(Step):
    def __init__(self, parent, **options):
        task_prerun.connect(self.told)

    def told(self, task_id, **provided):
        note("told", task_id)


app.steps["worker"].add(Listens)
"""


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize("options", [(), ("-P", "solo"), ("worker_pool_start_method=spawn",)], ids=str)
def test_what_a_step_connects_by_being_made_is_told_of_tasks(project: Project, options: tuple[str, ...]):
    project.use_also(LISTENING)
    node = project.start(*options)

    result = project.call("add", 1, 2)
    assert result.get(timeout=20) == 3
    assert node.stop() == 0

    assert project.notes == [["told", result.id]]


@pytest.mark.engines("sqlite")
def test_a_step_that_cannot_start_ends_the_node(project: Project):
    project.use_also(OWN.replace('note("opened", self.shop, parent.hostname)', 'raise LookupError("no key")'))
    waiting = project.call("noted", "waiting")
    node = project.start(ready=False)

    assert node.wait_exit() == 1
    assert "a step of the app could not be started" in node.log
    assert "no key" in node.log
    assert (project.notes, waiting.state) == ([["closed", "none"]], "PENDING")


@pytest.mark.engines("sqlite")
def test_options_that_nobody_has_are_refused(project: Project):
    node = project.start("--shop", "books", ready=False)

    assert node.wait_exit() == 2
    assert "No such option '--shop'" in node.log


def test_nothing_piles_up_in_the_broker(project: Project):
    project.start()
    asked(project, "ping")
    before = kept_for_the_bus(project)

    for _ in range(20):
        asked(project, "stats")
        project.app.control.inspect(timeout=0.001).stats()  # gone before the answer

    wait_until(lambda: kept_for_the_bus(project) <= before)


def kept_for_the_bus(project: Project) -> int:
    """Count what the store keeps of inboxes and answers: rows, or keys and members that have no end of their own."""
    store = project.store
    if isinstance(store, SqliteStore):
        with contextlib.closing(sqlite3.connect(f"file:{store.path}-bus?mode=ro", uri=True)) as connection:
            return sum(connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("inbox", "reply"))
    assert isinstance(store, RedisStore)
    client = store.client
    lasting = [key for key in client.keys("*") if b"pidbox" in key and client.ttl(key) < 0]
    return len(lasting) + client.scard("_kombu.binding.reply.celery.pidbox")
