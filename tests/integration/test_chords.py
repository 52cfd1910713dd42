"""Chords on live nodes: each body is sent once, with what all members returned, or fails because of one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from celeriac import chain, chord, group, signature
from celeriac.canvas import Signature
from celeriac.exceptions import ChordError
from tests.integration.project import Project, wait_until
from tests.integration.stores import RedisStore

WITHIN = 20.0

TASKS = """
from celeriac.exceptions import Ignore, Reject


@app.task
def plus(x, y):
    return x + y


@app.task
def total(values):
    return sum(values)


@app.task
def body(values, name="body"):
    note("body", name, repr(values))
    return values


@app.task
def sorted_body(values):
    return sorted(values)


@app.task
def told(task_id):
    note("told", task_id)


@app.task
def told_all(request, exc, traceback):
    note("told", request.id, request.task, type(exc).__name__)


@app.task
def fail(*args):
    raise ValueError("boom")


@app.task(bind=True, default_retry_delay=0)
def late(self, value):
    if self.request.retries < 2:
        raise self.retry()
    return value


@app.task(bind=True)
def replaced(self, value):
    raise self.replace(chain(plus.s(value, 1), plus.s(10)))


@app.task(bind=True)
def replaced_by_several(self, value):
    raise self.replace(group(plus.s(value, 1), plus.s(value, 2)))


@app.task(bind=True)
def adding(self, value):
    if self.request.retries == 0:
        raise self.retry(countdown=0)
    self.add_to_chord(plus.s(value, 100))
    plus.apply_async((0, 0))
    self.add_to_chord(plus.s(value, 200), lazy=True).delay()
    return value


@app.task
def ignored():
    raise Ignore()


@app.task
def rejected():
    raise Reject("not here")


@app.task(reject_on_worker_lost=False)
def crash():
    os._exit(3)


@app.task(time_limit=0.2)
def stuck():
    time.sleep(60)


@app.task(acks_late=False)
def early(value):
    return value


@app.task(ignore_result=True)
def unkept(value):
    return value


@app.task
def unstorable():
    return {1, object()}


@app.task
def large():
    return "x" * 2_000_000
""".replace("from celeriac.exc", "from celeriac import chain, group\nfrom celeriac.exc", 1)


@pytest.fixture
def call(project: Project) -> Any:
    """Make signatures of the project's tasks."""
    project.use_also(TASKS)

    def call(name: str, *args: Any, **options: Any) -> Signature[Any]:
        return signature(f"tasks.{name}", args=args, app=project.app, **options)

    return call


def test_chords_come_to_what_they_say(project: Project, call: Any):
    node = project.start()
    pair = [call("plus", 1, 1), call("plus", 2, 2)]
    body, total = call("body"), call("total")

    sent = {
        "two": chord(pair, total).delay(),
        "one": chord(pair[:1], body).delay(),
        "none": chord([], body).delay(),
        "many": chord([call("plus", i, i) for i in range(700)], total).delay(),
        "a generator": chord((call("plus", i, i) for i in range(5)), body).delay(),
        "group and task": (group(pair) | total | call("plus", 10)).delay(),
        "in a chain": chain(
            call("plus", 1, 1), group(call("plus", 1), call("plus", 2)), total, call("plus", 1)
        ).delay(),
        "in a chord": chord([chord(pair, total), call("plus", 3, 3)], body).delay(),
        "twice in a chord": chord([chord([chord(pair, total), call("plus", 0, 1)], total)], body).delay(),
        "three groups": chain(group(pair), group(call("total"), call("body")), group(body, body)).delay(),
        "body is a chain": chord(pair, chain(total, call("plus", 3), call("plus", 4))).delay(),
        "body is a group": chord(pair, group(total, body)).delay(),
        "body is a chord": chord(pair, chord([total, total], body)).delay(),
        "chain in the header": chord([chain(call("plus", 1, 1), call("plus", 2)), call("plus", 3, 3)], body).delay(),
        "group in the header": chord([call("plus", 0, 1), group(pair), call("plus", 3, 3)], body).delay(),
        "ends in a group": chord(
            [chain(call("plus", 1, 1), group(call("plus", 1), call("plus", 2))), call("plus", 3, 3)], body
        ).delay(),
        "retried": chord([call("late", 5), *pair], body).delay(),
        "replaced": chord([call("replaced", 5), *pair], body).delay(),
        "replaced by several": chord([call("replaced_by_several", 5), *pair], body).delay(),
        "added": chord([call("adding", 5), call("plus", 500, 500)], call("sorted_body")).delay(),
        "acked early": chord([call("early", 5), *pair], body).delay(),
        "results ignored": chord([call("unkept", 5), *pair], body).delay(),
        "immutable": chord(pair, call("plus", 5, 5, immutable=True)).delay(),
    }

    assert {name: result.get(timeout=WITHIN) for name, result in sent.items()} == {
        "two": 6,
        "one": [2],
        "none": [],
        "many": 699 * 700,
        "a generator": [0, 2, 4, 6, 8],
        "group and task": 16,
        "in a chain": 8,
        "in a chord": [6, 6],
        "twice in a chord": [7],
        "three groups": [[6, [2, 4]], [6, [2, 4]]],
        "body is a chain": 13,
        "body is a group": [6, [2, 4]],
        "body is a chord": [6, 6],
        "chain in the header": [4, 6],
        "group in the header": [1, 4, 2, 6],
        "ends in a group": [[3, 4], 6],
        "retried": [5, 2, 4],
        "replaced": [16, 2, 4],
        "replaced by several": [[6, 7], 2, 4],
        "added": [5, 105, 205, 1000],
        "acked early": [5, 2, 4],
        "results ignored": [5, 2, 4],
        "immutable": 10,
    }
    assert node.stop() == 0
    project.assert_clean()


def test_a_chord_is_awaited(project: Project, call: Any):
    project.start()

    async def main() -> Any:
        return await (await chord([call("plus", 1, 1), call("plus", 2, 2)], call("total")).adelay())

    assert asyncio.run(main()) == 6


ENDS = {
    "fail": "ValueError('boom')",
    "ignored": "Ignore()",
    "rejected": "not here",
    "crash": "WorkerLostError",
    "stuck": "TimeLimitExceeded",
    "unstorable": "EncodeError",
}


def test_whatever_a_member_ends_in_fails_the_body_and_what_follows_it(project: Project, call: Any):
    project.start()
    sent = {}
    for name in ENDS:
        body = call("body", name).on_error(call("told")).on_error(call("told_all"))
        sent[name] = (group(call("plus", 1, 1), call(name), call("plus", 2, 2)) | body | call("plus", 1)).delay()
    late = call("plus", 2, 2).set(expires=datetime.now(UTC) - timedelta(seconds=5))
    sent["expired"] = chord([call("plus", 1, 1), late], call("body", "expired")).delay()

    said = {}
    for name, last in sent.items():
        with pytest.raises(ChordError, match=r"^Dependency \S+ raised ") as caught:
            last.get(timeout=WITHIN)
        said[name] = str(caught.value)

    assert {name: text in said[name] for name, text in ENDS.items()} == dict.fromkeys(ENDS, True)
    assert "TaskRevokedError('expired')" in said["expired"]
    for name in ENDS:
        with pytest.raises(ChordError):
            sent[name].parent.get(timeout=WITHIN)
        wait_until(partial(told_of, project, sent[name].id), what=f"both errbacks of {name}")
    assert [words for words in project.notes if words[0] == "body"] == []


def told_of(project: Project, task_id: str) -> bool:
    """Say whether errbacks were told of a body: one of its id, one of the exception."""
    told = [words[1:] for words in project.notes if words[:2] == ["told", task_id]]
    return sorted(told) == [[task_id], [task_id, "celery.chain", "ChordError"]]


@pytest.mark.engines("redis")
def test_a_member_costs_no_more_in_a_larger_chord(project: Project, call: Any):
    """Commands that the server runs, also those in scripts, for each member: sending, counting, the body and all."""
    assert isinstance(project.store, RedisStore)
    client = project.store.client

    def commands_per_member(size: int) -> float:
        client.config_resetstat()
        result = chord([call("plus", number, 1) for number in range(size)], call("total")).delay()
        assert result.get(timeout=WITHIN) == size * (size + 1) // 2
        return sum(each["calls"] for each in client.info("commandstats").values()) / size

    project.start()
    commands_per_member(10)  # connections, scripts
    few, many = commands_per_member(50), commands_per_member(1_000)

    assert many <= 1.1 * few, (few, many)
