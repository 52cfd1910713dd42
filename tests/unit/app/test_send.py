from __future__ import annotations

import json
import os
import socket
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from celeriac import Celery
from celeriac.app.context import Context, entered
from celeriac.app.signals import before_task_publish
from celeriac.exceptions import EncodeError, MessageTooLarge
from tests.unit.app.messages import arguments_of, headers_of


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x, y=1): ...

    return add


def run_of(task, **more):
    """Return the context of a run that a worker started."""
    return Context(id="parent-1", root_id="root-1", task=task.name, current=task, called_directly=False, **more)


class TestTheMessage:
    def test_it_has_a_new_id_that_is_its_own_root(self, app, add):
        first, second = app.sender.build(add, (1,), {}), app.sender.build(add, (1,), {})

        headers = headers_of(first)
        assert first.task_id != second.task_id
        assert (headers["id"], headers["root_id"], headers["parent_id"]) == (first.task_id, first.task_id, None)

    def test_it_names_the_process_that_sends_it(self, app, add):
        assert headers_of(app.sender.build(add, (1,), {}))["origin"] == f"gen{os.getpid()}@{socket.gethostname()}"

    def test_sent_inside_a_run_it_is_a_child_of_that(self, app, add):
        with entered(run_of(add)):
            headers = headers_of(app.sender.build(add, (1,), {}))

        assert (headers["root_id"], headers["parent_id"]) == ("root-1", "parent-1")

    def test_sent_by_a_task_that_a_run_calls_as_a_function_it_is_a_child_of_the_run(self, app, add):
        with entered(run_of(add)), entered(Context(task="inner")):
            headers = headers_of(app.sender.build(add, (1,), {}))

        assert headers["parent_id"] == "parent-1"

    def test_custom_headers_stand_beside_the_others(self, app, add):
        headers = headers_of(app.sender.build(add, (1,), {}, {"headers": {"tenant": "t1"}, "shadow": "Adding"}))

        assert (headers["tenant"], headers["shadow"]) == ("t1", "Adding")

    def test_a_task_that_is_not_known_here_decides_itself_about_its_result(self, app, add):
        unknown = app.sender.build("elsewhere.task", (1,), {})
        known = app.sender.build("shop.add", (1,), {})

        assert (headers_of(unknown)["ignore_result"], headers_of(known)["ignore_result"]) == (None, False)

    def test_what_a_task_says_of_results_and_priority_goes_into_its_messages(self, app):
        @app.task(ignore_result=True, priority=7)
        def quiet(): ...

        message = app.sender.build(quiet, (), {})
        louder = app.sender.build(quiet, (), {}, {"ignore_result": False, "priority": 0})

        assert (headers_of(message)["ignore_result"], message.priority) == (True, 7)
        assert (headers_of(louder)["ignore_result"], louder.priority) == (False, 0)

    def test_the_default_priority_is_for_tasks_that_are_not_known_here_too(self, app):
        app.conf.task_default_priority = 5

        assert app.sender.build("elsewhere.task", (), {}).priority == 5

    def test_protocol_1_is_written_when_the_settings_ask_for_it(self, app, add):
        app.conf.task_protocol = 1

        message = app.sender.build(add, (1,), {}, {"headers": {"tenant": "t"}}, task_id="abc")

        body = json.loads(message.body)
        assert (message.headers, body["task"], body["id"], body["args"]) == (b'{"tenant": "t"}', "shop.add", "abc", [1])


class TestTimes:
    def test_a_countdown_becomes_an_eta(self, app, add):
        before = time.time()
        message = app.sender.build(add, (1,), {}, {"countdown": 60})

        eta = datetime.fromisoformat(headers_of(message)["eta"])
        assert before + 60 <= message.eta_at <= time.time() + 60
        assert eta.timestamp() == pytest.approx(message.eta_at, abs=1e-5)
        assert eta.utcoffset() == datetime.now(UTC).utcoffset()

    def test_a_naive_eta_is_meant_in_the_apps_zone(self, app, add):
        app.conf.timezone = "Europe/Berlin"

        message = app.sender.build(add, (1,), {}, {"eta": datetime(2030, 7, 1, 12)})

        assert headers_of(message)["eta"] == "2030-07-01T12:00:00+02:00"
        assert message.eta_at == datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()

    def test_an_expiry_is_written_for_workers_and_for_brokers(self, app, add):
        message = app.sender.build(add, (1,), {}, {"expires": 60})

        expires = datetime.fromisoformat(headers_of(message)["expires"]).timestamp()
        assert expires == pytest.approx(time.time() + 60, abs=30)
        assert message.properties is not None
        assert b'"expiration"' in message.properties

    def test_an_expiry_in_the_past_is_sent_all_the_same(self, app, add):
        message = app.sender.build(add, (1,), {}, {"expires": -60})

        assert message.properties == b'{"expiration": "0"}'

    def test_a_task_can_have_an_expiry_for_all_its_calls(self, app):
        @app.task(expires=60)
        def brief(): ...

        assert headers_of(app.sender.build(brief, (), {}))["expires"] is not None
        own = app.sender.build(brief, (), {}, {"expires": "2030-01-01T00:00:00Z"})
        assert headers_of(own)["expires"] == "2030-01-01T00:00:00+00:00"


class TestQueues:
    def test_the_default_queue_can_be_changed_at_any_time(self, app, add):
        before = app.sender.build(add, (1,), {}).queue

        app.conf.task_default_queue = "other"

        assert (before, app.sender.build(add, (1,), {}).queue) == ("celery", "other")

    def test_routes_decide_and_can_be_changed_at_any_time(self, app, add):
        app.conf.task_routes = {"shop.*": "goods"}
        first = app.sender.build(add, (1,), {}).queue

        app.conf.task_routes = {"shop.add": {"queue": "sums"}}

        assert (first, app.sender.build(add, (1,), {}).queue) == ("goods", "sums")

    def test_the_queue_of_a_call_wins_over_routes(self, app, add):
        app.conf.task_routes = {"shop.*": "goods"}

        assert app.sender.build(add, (1,), {}, {"queue": "mine"}).queue == "mine"

    def test_names_without_end_do_not_fill_the_memory(self, app):
        for number in range(10_000):
            app.sender.build(f"task-{number}", (), {})

        assert len(app.sender._rules_now().names) <= 4096


class TestErrors:
    def test_an_argument_that_cannot_be_carried_is_named_with_its_task(self, add, sent):
        with pytest.raises(EncodeError) as by_place:
            add.delay(1, {2: object()})
        with pytest.raises(EncodeError) as by_name:
            add.delay(1, y=object())

        assert "task 'shop.add' cannot be sent" in str(by_place.value)
        assert "args[1]" in str(by_place.value)
        assert "kwargs['y']" in str(by_name.value)
        assert sent() == []

    def test_a_message_over_the_limit_is_refused(self, app, add, sent):
        app.conf.message_max_bytes = 2048

        with pytest.raises(MessageTooLarge, match="message_max_bytes"):
            add.delay("x" * 3000)

        assert sent() == []

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            ({"priority": 256}, "priority of a call of task 'shop.add' must be a whole number from 0 to 255"),
            ({"priority": "high"}, "priority of a call"),
            ({"queue": ""}, "queue of a call of task 'shop.add' must be a queue, or the name of one, or None, got ''"),
            ({"headers": {1: 2}}, "headers of a call of task 'shop.add' must be a dict whose keys are texts"),
            ({"serializer": ""}, "serializer of a call of task 'shop.add' must be a text that is not empty, or None"),
            ({"timeout": -1}, "timeout of a call of task 'shop.add' must be a number of seconds"),
            ({"ignore_result": 1}, "ignore_result of a call of task 'shop.add' must be True or False"),
        ],
    )
    def test_a_wrong_option_is_named(self, add, options, error):
        with pytest.raises(ValueError, match="of a call of task") as caught:
            add.apply_async((1,), **options)

        assert error in str(caught.value)


WRONG_ARGUMENTS = [
    ("ab", None, "task args must be a list or tuple, got str 'ab'"),
    (5, None, "task args must be a list or tuple, got int 5"),
    ({1: 2}, None, "task args must be a list or tuple, got dict {1: 2}"),
    ([1], [2], "task kwargs must be a dict of names and values, got list [2]"),
    ([1], "a", "task kwargs must be a dict of names and values, got str 'a'"),
    ([1], {5: 1}, "task kwargs must have texts for names, got int 5"),
]


class TestArguments:
    @pytest.mark.parametrize(("args", "kwargs", "error"), WRONG_ARGUMENTS)
    def test_those_of_a_wrong_type_are_refused_by_every_way_to_send(self, app, add, sent, args, kwargs, error):
        ways = (
            lambda: add.apply_async(args, kwargs),
            lambda: app.send_task("shop.add", args, kwargs),
            lambda: app.sender.send_many("shop.add", [((1,), {}), (args, kwargs)]),
        )

        for send in ways:
            with pytest.raises(TypeError) as caught:
                send()
            assert str(caught.value) == error
        assert sent() == []

    def test_a_name_that_is_no_text_is_refused(self, app):
        for send in (lambda: app.send_task(5), lambda: app.sender.send_many(5, [])):
            with pytest.raises(TypeError, match="the name of a task must be a text, got int 5"):
                send()

    def test_none_is_no_arguments(self, app, sent):
        app.send_task("shop.add", None, None)

        assert arguments_of(sent()[0]) == ([], {})


class DeadlineNotingBroker:
    """Note how long each publish may take, and keep nothing."""

    def __init__(self):
        self.seconds = []

    def publish(self, messages, *, deadline_at):
        self.seconds.append(deadline_at - time.monotonic())


class NotingApp(Celery):
    """Send to a broker that notes deadlines."""

    noting = DeadlineNotingBroker()

    @property
    def write_broker(self):
        return self.noting


class TestPublishing:
    def test_it_has_to_be_done_within_the_timeout_of_the_settings_or_of_the_call(self):
        app = NotingApp(task_publish_timeout=5.0)

        app.send_task("shop.add")
        app.send_task("shop.add", timeout=60)
        app.sender.publish([], timeout=0)

        ordinary, own, none = app.noting.seconds
        assert 0 < ordinary <= 5
        assert 5 < own <= 60
        assert none <= 0

    def test_calls_made_inside_a_run_are_its_children(self, app, add):
        context = run_of(add)

        with entered(context):
            first = add.delay(1)
            add.apply_async((2,), add_to_parent=False)
            [third] = app.sender.send_many(add, [((3,), {})])

        assert [child.id for child in context.children] == [first.id, third]

    def test_those_of_a_task_without_a_trail_are_not_noted(self, app, add):
        context = run_of(add)
        add.trail = False

        with entered(context):
            add.delay(1)
            app.sender.send_many(add, [((2,), {})])

        assert context.children == []

    def test_a_run_with_calls_without_end_remembers_only_so_many(self, app, add):
        context = run_of(add)

        with entered(context):
            app.sender.send_many(add, [((number,), {}) for number in range(10_001)])

        assert len(context.children) == 10_000


def shape_of(message):
    """Return what a message says, but for what is another one in each."""
    headers = headers_of(message) | dict.fromkeys(("id", "root_id", "expires"))
    body = None if message.content_type == "application/json" and headers.get("lang") is None else message.body
    return headers, body, message.priority, message.content_type


class TestShortWay:
    """What only says its arguments is not worked out anew each time; nobody can tell."""

    @pytest.mark.parametrize(
        "said",
        [
            {"task_default_priority": 4},
            {"task_protocol": 1},
            {"task_serializer": "msgpack"},
            {"task_compression": "zlib"},
            {"task_routes": {"shop.*": {"queue": "celery", "priority": 2, "expires": 60}}},
            {"task_repr_maxlevels": 1},
        ],
    )
    @pytest.mark.parametrize("ways", ["one", "many"])
    def test_settings_that_change_hold_for_the_next_call(self, app, add, sent, said, ways):
        args, kwargs = ([[[1]]],), {"y": 2}

        def send():
            return app.sender.send_many(add, [(args, kwargs)]) if ways == "many" else add.delay(*args, **kwargs)

        send()
        app.conf.update(said)
        send()

        before, after = map(shape_of, sent())
        assert before != after
        assert after == shape_of(app.sender.build(add, args, kwargs))

    def test_whoever_begins_to_listen_hears_of_the_next_call(self, add):
        heard = []
        add.delay(1)

        @before_task_publish.connect(weak=False)
        def hear(headers, **_):
            heard.append(headers["id"])

        try:
            second = add.delay(2)
        finally:
            before_task_publish.disconnect(hear)
        add.delay(3)

        assert heard == [second.id]

    def test_results_that_a_task_does_not_keep_are_not_waited_for(self, app):
        @app.task(ignore_result=True)
        def quiet(): ...

        assert [quiet.delay().ignored, quiet.delay().ignored] == [True, True]


class TestBatches:
    def test_calls_arrive_in_order_under_the_ids_returned(self, app, add, sent):
        ids = app.sender.send_many(add, (((number,), {"y": 2}) for number in range(100)))

        messages = sent()
        assert [message.task_id for message in messages] == ids
        assert [arguments_of(message) for message in messages] == [([number], {"y": 2}) for number in range(100)]

    def test_options_are_for_all_of_them(self, app, add, sent):
        app.sender.send_many(add, [((1,), {}), ((2,), {})], {"queue": "bulk", "priority": 3})

        assert [message.priority for message in sent("bulk")] == [3, 3]

    def test_when_one_cannot_be_carried_none_is_sent(self, app, add, sent):
        with pytest.raises(EncodeError):
            app.sender.send_many(add, [((1,), {}), ((object(),), {})])

        assert sent() == []
