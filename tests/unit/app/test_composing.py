from __future__ import annotations

import json
import tracemalloc
from collections.abc import Sequence
from typing import Any, ClassVar

import pytest

from celeriac import Celery, Task, chain, chord, group
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


@pytest.fixture
def published(monkeypatch):
    """Return the messages that brokers are given, one after the other."""
    seen: list[Message] = []
    publish = MemoryBroker.publish

    def noting(self: MemoryBroker, messages: Sequence[Message], *, deadline_at: float) -> Any:
        seen.extend(messages)
        return publish(self, messages, deadline_at=deadline_at)

    monkeypatch.setattr(MemoryBroker, "publish", noting)
    return seen


@pytest.fixture
def tagging(app):
    """Return a task whose class notes, and adds to, what each call of it says."""

    class Tagging(Task[..., Any]):
        sent: ClassVar[list[Any]] = []

        def apply_async(self, args=None, kwargs=None, **options):  # type: ignore[override]  # as programs do
            self.sent.append((args, options["task_id"]))
            return super().apply_async(args, kwargs, **{**options, "headers": {"tenant": "blue"}})

    @app.task(name="shop.tagging", base=Tagging)
    def tagging(*args):
        return args

    return tagging


def test_members_are_sent_by_the_apply_async_of_their_class(add, tagging, published):
    result = group(add.s(1, 1), tagging.s(1), add.s(2, 2), tagging.s(2)).delay()

    assert [(tuple(args), task_id) for args, task_id in tagging.sent] == [((1,), result[1].id), ((2,), result[3].id)]
    assert [message.task_id for message in published] == [each.id for each in result]
    assert [headers_of(message).get("tenant") for message in published] == [None, "blue", None, "blue"]
    assert [(headers_of(message)["group"], headers_of(message)["group_index"]) for message in published] == [
        (result.id, index) for index in range(4)
    ]


def test_a_chain_begins_with_the_apply_async_of_its_first_class(add, tagging, published):
    result = chain(tagging.s(1), add.s(2)).delay()

    assert [task_id for _, task_id in tagging.sent] == [result.parent.id]
    [message] = published
    assert headers_of(message)["tenant"] == "blue"
    _, _, embedded = json.loads(message.body)
    assert [step["options"]["task_id"] for step in embedded["chain"]] == [result.id]


def test_the_header_of_a_chord_is_sent_by_the_apply_async_of_its_class(add, tagging, published):
    result = chord([tagging.s(1), add.s(1, 1)], add.s(2)).delay()

    assert [task_id for _, task_id in tagging.sent] == [result.parent[0].id]
    bodies = [json.loads(message.body)[2]["chord"]["options"]["task_id"] for message in published]
    assert bodies == [result.id] * 2


@pytest.mark.parametrize("makes", [group, chord], ids=["group", "chord"])
def test_a_unique_member_is_sent_in_any_case_by_the_apply_async_of_its_class(app, add, tagging, makes):
    members = [tagging.s(1).set(unique_for=60), tagging.s(1).set(unique_for=60)]

    (group(members) if makes is group else chord(members, add.s(2))).delay()

    [depth] = app.broker.depths()
    assert depth.ready == 2


def test_a_unique_beginning_of_a_chain_is_sent_in_any_case_by_the_apply_async_of_its_class(app, add, tagging):
    for _ in range(2):
        (tagging.s(1).set(unique_for=60) | add.s(2)).delay()

    [depth] = app.broker.depths()
    assert depth.ready == 2, "else nobody would call what follows"


def test_what_an_apply_async_of_its_own_raises_says_what_was_published_before(app, add, tagging, monkeypatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise LookupError("no tenant")

    monkeypatch.setattr(type(tagging), "apply_async", refuse)

    with pytest.raises(LookupError) as caught:
        group(add.s(1, 1), tagging.s(1)).delay()

    assert caught.value.__notes__ == ["1 messages of this group had been published before"]


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

    def test_an_empty_group_is_an_empty_list(self, app):
        @app.task(bind=True, name="shop.each")
        def each(self):
            raise self.replace(group([]))

        assert each.apply().get() == []

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
