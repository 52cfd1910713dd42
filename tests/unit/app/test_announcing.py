from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from typing import Any

import pytest

from celeriac import group
from celeriac.app.context import Context
from celeriac.app.signals import after_task_publish, before_task_publish, task_sent
from celeriac.exceptions import EncodeError
from celeriac.message import Message
from tests.unit.app.messages import arguments_of, headers_of


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x, y=1): ...

    return add


@pytest.fixture
def published(app, monkeypatch):
    """Collect what goes to the broker, instead of having it there."""
    messages: list[Message] = []
    monkeypatch.setattr(app.broker, "publish", lambda batch, *, deadline_at: messages.extend(batch))
    return messages


@contextmanager
def heard(signal):
    """Collect what a signal provides, meanwhile."""
    seen: list[dict[str, Any]] = []

    def note(signal, **provided):
        seen.append(provided)

    signal.connect(note)
    try:
        yield seen
    finally:
        signal.disconnect(note)


@contextmanager
def changing(change):
    """Have a receiver of before_task_publish change the parts that it gets."""

    def receive(headers, properties, body, **more):
        change(headers, properties, body)

    before_task_publish.connect(receive)
    try:
        yield
    finally:
        before_task_publish.disconnect(receive)


class TestBefore:
    def test_it_shows_all_parts_as_celery_does(self, app, add):
        with heard(before_task_publish) as seen:
            result = add.apply_async((1,), {"y": 2}, priority=3, expires=60, headers={"tenant": "t"}, queue="q")

        [shown] = seen
        headers, properties = shown.pop("headers"), shown.pop("properties")
        [queue] = shown.pop("declare")
        assert (queue.name, queue.routing_key, queue.exchange.name, queue.exchange.type) == ("q", "q", "q", "direct")
        assert shown == {
            "sender": "shop.add",
            "body": ((1,), {"y": 2}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}),
            "exchange": "",
            "routing_key": "q",
            "retry_policy": shown["retry_policy"],
        }
        assert shown["retry_policy"]["max_retries"] == 3
        assert (headers["id"], headers["argsrepr"], headers["tenant"]) == (result.id, "(1,)", "t")
        assert properties == {
            "correlation_id": result.id,
            "reply_to": app.thread_oid,
            "priority": 3,
            "expiration": 60.0,
        }

    @pytest.mark.parametrize(
        "options",
        [
            {},
            {"countdown": 60, "expires": 90, "time_limit": 3, "soft_time_limit": 2, "shadow": "s", "retries": 2},
            {"delivery_mode": 1, "app_id": "a", "correlation_id": "c", "reply_to": "r", "headers": {"a": {"b": 1}}},
            {"stamped_headers": ["a"], "a": 1, "group_id": "g", "group_index": 0, "root_id": "r", "parent_id": "p"},
            {"link": {"task": "x"}, "link_error": {"task": "y"}, "serializer": "msgpack", "compression": "zlib"},
        ],
        ids=["bare", "times", "properties", "identity", "links"],
    )
    def test_what_nobody_changes_is_the_message_that_it_would_have_been(
        self, app, add, options, published, monkeypatch
    ):
        monkeypatch.setattr(app.builder, "now", lambda: 1_900_000_000.5)

        app.sender.send(add, (1,), {"y": 2}, options, task_id="same")
        with heard(before_task_publish):
            app.sender.send(add, (1,), {"y": 2}, options, task_id="same")

        plain, shown = published
        assert shown == plain

    def test_what_a_receiver_changes_is_sent(self, add, published):
        def change(headers, properties, body):
            headers["tenant"] = "t1"
            headers["shadow"] = "Adding"
            headers["eta"] = "2030-01-01T00:00:00+00:00"
            headers["timelimit"] = [5, 3]
            headers["stamps"]["a"] = 1
            properties["priority"] = 7
            properties["app_id"] = "shop"
            body[1]["y"] = 9
            body[2]["callbacks"] = [{"task": "shop.add"}]

        with changing(change):
            add.delay(1, y=2)

        [message] = published
        headers = headers_of(message)
        assert (headers["tenant"], headers["shadow"], headers["timelimit"]) == ("t1", "Adding", [5, 3])
        assert (headers["stamps"], message.eta_at, message.priority) == ({"a": 1}, 1_893_456_000.0, 7)
        assert json.loads(message.properties or b"") == {"app_id": "shop"}
        assert arguments_of(message) == ([1], {"y": 9})
        assert json.loads(message.body)[2]["callbacks"] == [{"task": "shop.add"}]

    @pytest.mark.parametrize(
        "change",
        [
            lambda headers, properties, body: headers.clear(),
            lambda headers, properties, body: headers.update(eta="soon"),
            lambda headers, properties, body: body[2].update(more=1),
        ],
        ids=["cleared", "eta", "embed"],
    )
    def test_what_is_no_message_any_more_is_not_sent(self, add, sent, change):
        with changing(change), pytest.raises(EncodeError, match="a receiver of before_task_publish made no message"):
            add.delay(1)

        assert sent() == []

    def test_retries_and_what_follows_a_run_are_shown_too(self, app, add):
        context = Context(id="run-1", task="shop.add", called_directly=False, current=add)

        with heard(before_task_publish) as seen, heard(after_task_publish) as after:
            app.builder.build_retry(context, (1,), {}, None, {})
            app.canvas.following(add.s(1), None, {}, context)

        assert [shown["headers"]["retries"] for shown in seen] == [1, 0]
        assert [shown["headers"] for shown in after] == [shown["headers"] for shown in seen]

    def test_a_call_that_runs_here_is_not_shown(self, app, add):
        app.conf.task_always_eager = True

        with heard(before_task_publish) as seen, heard(after_task_publish) as after:
            add.delay(1)

        assert (seen, after) == ([], [])


class TestAfter:
    @pytest.fixture(
        params=[
            lambda add: add.delay(1),
            lambda add: asyncio.run(add.adelay(1)),
            lambda add: add.app.sender.send_many(add, [((1,), {})]),
        ],
        ids=["delay", "adelay", "send_many"],
    )
    def send(self, request):
        return request.param

    def test_it_is_told_when_the_broker_has_the_message(self, app, add, send, sent):
        found = []

        def look(headers, **provided):
            found.append((headers["id"], [message.task_id for message in sent()]))

        after_task_publish.connect(look)
        try:
            send(add)
        finally:
            after_task_publish.disconnect(look)

        [(told, [published])] = found
        assert told == published

    def test_it_shows_the_parts(self, add, send):
        with heard(after_task_publish) as seen:
            send(add)

        [shown] = seen
        assert (shown["sender"], shown["exchange"], shown["routing_key"]) == ("shop.add", "", "celery")
        assert (shown["body"][0], shown["headers"]["task"]) == ((1,), "shop.add")

    def test_it_is_told_of_a_call_of_a_group_before_the_next_one_is_shown(self, add, sent):
        told = []
        begins = before_task_publish.connect(lambda headers, **_: told.append(("before", headers["id"])), weak=False)
        ends = after_task_publish.connect(lambda headers, **_: told.append(("after", headers["id"])), weak=False)

        try:
            result = group(add.s(1), add.s(2)).apply_async()
        finally:
            before_task_publish.disconnect(begins)
            after_task_publish.disconnect(ends)

        first, second = (member.id for member in result)
        assert told == [("before", first), ("after", first), ("before", second), ("after", second)]
        assert len(sent()) == 2

    def test_the_calls_of_a_group_are_published_together_where_nobody_hears_what_comes_before(
        self, app, add, monkeypatch
    ):
        sizes = []
        monkeypatch.setattr(app.broker, "publish", lambda batch, *, deadline_at: sizes.append(len(batch)))

        with heard(after_task_publish) as seen:
            group(add.s(1), add.s(2)).apply_async()

        assert (sizes, len(seen)) == ([2], 2)

    def test_what_was_not_published_is_not_told(self, app, add):
        with heard(after_task_publish) as seen, pytest.raises(EncodeError):
            add.delay(object())

        assert seen == []

    def test_task_sent_tells_of_it_as_celery_3_did(self, add):
        with heard(task_sent) as seen:
            result = add.apply_async((1,), {"y": 2}, group_id="g")

        assert seen == [
            {
                "sender": "shop.add",
                "task_id": result.id,
                "task": "shop.add",
                "args": (1,),
                "kwargs": {"y": 2},
                "eta": None,
                "taskset": "g",
            }
        ]
