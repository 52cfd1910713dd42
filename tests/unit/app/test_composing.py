from __future__ import annotations

import json
import tracemalloc
from typing import Any

import pytest

from celeriac import Celery, chain, chord, group
from celeriac.app.composing import BATCH_MAX
from celeriac.app.context import Context
from celeriac.app.follow import after_success
from celeriac.brokers.memory import MemoryBroker
from celeriac.canvas.plan import plan
from celeriac.exceptions import BrokerUnavailable, Ignore
from celeriac.message import Message
from tests.golden import vector


@pytest.fixture
def app(request):
    place = f"memory://composing-{request.node.name}"
    return Celery("shop", broker=place, backend=place, set_as_current=False)


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x, y):
        return x + y

    return add


def test_a_chord_without_a_result_backend_is_refused_before_anything_is_sent(app, add):
    app.conf.result_backend = "disabled"
    for whole in (chord([add.s(1, 1)], add.s(2)), chain(add.s(1, 1), group([add.s(1), add.s(2)]), add.s(3))):
        with pytest.raises(NotImplementedError, match="a chord needs a result backend"):
            whole.delay()

    assert app.broker.depths() == []


def test_a_group_of_a_generator_may_be_a_callback(app, add):
    add.apply_async((1, 1), link=group(add.s(number) for number in range(3)))

    [depth] = app.broker.depths()
    assert depth.ready == 1


def test_members_are_checked_as_calls_are(app, add):
    with pytest.raises(TypeError, match=r"shop\.add"):
        group([add.s(1)]).delay()


def test_what_was_published_before_an_error_is_said(app, add, monkeypatch):
    def members():
        yield from (add.s(1, 1) for _ in range(BATCH_MAX))
        app.broker.close()
        monkeypatch.setattr(MemoryBroker, "publish", refuse)
        yield add.s(2, 2)

    def refuse(*_: Any, **__: Any) -> None:
        raise BrokerUnavailable("gone", maybe_published=False)

    with pytest.raises(BrokerUnavailable) as caught:
        group(members()).delay()

    assert caught.value.__notes__ == [f"{BATCH_MAX} messages of this group had been published before"]


def test_a_large_group_is_planned_member_by_member(app, add):
    many = group(add.s(number, number) for number in range(20_000))
    tracemalloc.start()
    try:
        steps = plan(many)
        count = sum(1 for _ in steps)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert count == 20_000
    assert peak < 16 * 1024 * 1024  # what is kept of the first 10,000 members, and 16 bytes of each


def test_in_eager_mode_all_of_it_runs_here(app, add):
    app.conf.task_always_eager = True

    @app.task(name="shop.total")
    def total(numbers):
        return sum(numbers)

    results = [
        chain(add.s(1, 1), add.s(2)).delay(),
        group([add.s(1, 1), add.s(2, 2)]).delay(),
        chord([add.s(1, 1), add.s(2, 2)], total.s()).delay(),
        chain(add.s(1, 1), group([add.s(1), add.s(2)]), total.s(), add.s(10)).delay(),
    ]

    assert [result.get() for result in results] == [4, [2, 4], 6, 17]
    assert app.broker.depths() == []


class TestReplacing:
    @pytest.fixture
    def replacing(self, app):
        proj = app.task(name="proj.tasks.add")(lambda x, y: x + y)

        @app.task(bind=True, name="proj.tasks.replacing")
        def replacing(self, x):
            raise self.replace(proj.s(x, 100))

        return replacing

    def test_the_message_is_celerys(self, app, replacing):
        first, then = (vector.load(f"worker-sent-replace#{index}")["decoded"] for index in (0, 1))
        context = Context(
            id=first["headers"]["id"],
            root_id=first["headers"]["root_id"],
            task="proj.tasks.replacing",
            called_directly=False,
            current=replacing,
        )
        replacing.push_request(**{name: getattr(context, name) for name in ("id", "root_id")})
        try:
            with pytest.raises(Ignore):
                replacing.run(5)
            [message] = replacing.request.following
        finally:
            replacing.pop_request()

        ours, theirs = headers_of(message), then["headers"]
        assert {key: ours[key] for key in theirs if key != "origin"} == {
            key: theirs[key] for key in theirs if key != "origin"
        }
        assert json.loads(message.body) == then["body"]

    def test_in_this_process_its_value_is_that_of_the_other(self, replacing):
        assert replacing.apply((5,)).get() == 105

    def test_stamps_go_on(self, app, add):
        @app.task(bind=True, name="shop.stamped")
        def stamped(self):
            raise self.replace(add.s(1, 1))

        stamped.push_request(id="run-1", stamped_headers=["tenant"], stamps={"tenant": "t1"})
        try:
            with pytest.raises(Ignore):
                stamped.run()
            [message] = stamped.request.following
        finally:
            stamped.pop_request()

        assert headers_of(message)["stamps"] == {"tenant": "t1"}


@pytest.mark.parametrize("at", [0, 1])
def test_the_next_step_of_a_chain_is_celerys_message(at):
    app = Celery("proj", broker="redis://localhost/0", set_as_current=False)
    for name in ("add", "mul"):
        app.task(name=f"proj.tasks.{name}")(lambda *args: None)
    before, then = (vector.load(f"worker-sent-chain-steps#{at + more}")["decoded"] for more in (0, 1))
    headers, embed = before["headers"], before["body"][2]
    context = Context(
        id=headers["id"],
        root_id=headers["root_id"],
        task=headers["task"],
        called_directly=False,
        chain=embed["chain"],
    )

    [message] = after_success(context, then["body"][0][0], sender=app.sender)

    ours, theirs = headers_of(message), then["headers"]
    assert {key: ours[key] for key in theirs if key != "origin"} == {
        key: theirs[key] for key in theirs if key != "origin"
    }
    assert json.loads(message.body) == then["body"]
    assert [child.id for child in context.children] == [theirs["id"]]


def headers_of(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(message.headers)
    return found
