from __future__ import annotations

import time

import pytest

from celeriac import Celery
from celeriac.app.context import entered
from celeriac.app.signals import before_task_publish
from celeriac.exceptions import EncodeError, MessageTooLarge
from tests.unit.app.contexts import run_of
from tests.unit.app.messages import arguments_of, headers_of


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x, y=1): ...

    return add


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
        assert after == shape_of(app.builder.build(add, args, kwargs))

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
