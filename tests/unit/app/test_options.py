from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from celeriac.app.context import Context, entered
from celeriac.app.options import read_call_options
from celeriac.app.result import AsyncResult
from celeriac.brokers.topology import Exchange, Queue
from celeriac.message import Route
from tests.unit.app.messages import headers_of


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x=1, y=1): ...

    return add


def built(app, task, args=(), **options):
    return app.builder.build(task, args, {}, options)


def properties_of(message) -> dict[str, Any]:
    return json.loads(message.properties or b"{}")


def embed_of(message) -> dict[str, Any]:
    return json.loads(message.body)[2]


class TestHeaders:
    @pytest.mark.parametrize(
        ("options", "headers"),
        [
            ({"shadow": "Adding"}, {"shadow": "Adding"}),
            ({"argsrepr": "(…)", "kwargsrepr": ""}, {"argsrepr": "(…)", "kwargsrepr": ""}),
            ({"root_id": "r", "parent_id": "p"}, {"root_id": "r", "parent_id": "p"}),
            ({"group_id": "g", "group_index": 0}, {"group": "g", "group_index": 0}),
            ({"time_limit": 30, "soft_time_limit": 20.5}, {"timelimit": [30, 20.5]}),
            ({"time_limit": 30}, {"timelimit": [30, None]}),
            ({"retries": 2, "replaced_task_nesting": 1}, {"retries": 2, "replaced_task_nesting": 1}),
            ({"origin": "gen1@there"}, {"origin": "gen1@there"}),
            ({"headers": {"tenant": "t1"}}, {"tenant": "t1"}),
        ],
    )
    def test_an_option_is_found_in_its_header(self, app, add, options, headers):
        written = headers_of(built(app, add, **options))

        assert {name: written[name] for name in headers} == headers

    def test_stamps_are_options_that_stamped_headers_names(self, app, add):
        written = headers_of(built(app, add, stamped_headers=["tenant", "tags"], tenant="a", tags=[1, 2], priority=1))

        assert (written["stamped_headers"], written["stamps"]) == (["tenant", "tags"], {"tenant": "a", "tags": [1, 2]})

    def test_a_stamp_that_is_not_given_is_named(self, app, add):
        with pytest.raises(
            ValueError, match=r"stamped_headers of a call of task 'shop\.add' names 'tenant', which is not"
        ):
            built(app, add, stamped_headers=["tenant"])

    def test_a_call_inside_a_run_may_name_other_parents(self, app, add):
        with entered(Context(id="run", root_id="root", task="t", called_directly=False)):
            own, others = built(app, add, parent_id="p"), built(app, add)

        assert (headers_of(own)["parent_id"], headers_of(own)["root_id"]) == ("p", "root")
        assert headers_of(others)["parent_id"] == "run"


class TestLimits:
    def test_a_soft_limit_after_the_hard_one_is_refused(self, app, add):
        with pytest.raises(
            ValueError, match=r"soft_time_limit of a call of task 'shop\.add' must be less than or equal to"
        ):
            add.apply_async(time_limit=5, soft_time_limit=10)

    def test_that_of_the_task_counts_too(self, app):
        @app.task(name="shop.limited", time_limit=5)
        def limited(): ...

        with pytest.raises(ValueError, match="got 10 and 5 seconds"):
            limited.apply_async(soft_time_limit=10)
        assert headers_of(built(app, limited, soft_time_limit=3))["timelimit"] == [5, 3]

    def test_a_task_that_contradicts_itself_cannot_be_called(self, app):
        @app.task(name="shop.limited", time_limit=5, soft_time_limit=6)
        def limited(): ...

        with pytest.raises(ValueError, match=r"soft_time_limit of task 'shop\.limited'"):
            limited.delay()


class TestWhatFollows:
    def test_links_are_carried_as_the_dicts_that_they_are(self, app, add):
        message = built(app, add, link=[add.s(2), dict(add.si(3))], link_error=add.s())

        embed = embed_of(message)
        assert [(each["task"], each["args"], each["immutable"]) for each in embed["callbacks"]] == [
            ("shop.add", [2], False),
            ("shop.add", [3], True),
        ]
        assert [each["task"] for each in embed["errbacks"]] == ["shop.add"]

    @pytest.mark.parametrize("wrong", [5, "shop.add", [5], {"args": [1]}, print])
    def test_what_is_no_signature_cannot_be_linked(self, app, add, wrong):
        with pytest.raises(
            ValueError, match=r"link of a call of task 'shop.add' must be a signature or a list of them"
        ):
            built(app, add, link=wrong)

    def test_the_task_itself_cannot_be_linked(self, app, add):
        with pytest.raises(ValueError, match=r"such as add\.s\(2\)"):
            built(app, add, link_error=add)


class TestProperties:
    def test_those_that_amqp_has_are_carried(self, app, add):
        given = {"app_id": "a", "user_id": "u", "message_id": "m", "type": "t", "timestamp": 5, "correlation_id": "c"}

        assert properties_of(built(app, add, **given, reply_to="q")) == given | {"reply_to": "q"}

    @pytest.mark.parametrize("mode", ["transient", 1])
    def test_the_delivery_mode_is_a_number_on_the_wire(self, app, add, mode):
        assert properties_of(built(app, add, delivery_mode=mode)) == {"delivery_mode": 1}

    def test_persistent_is_what_all_messages_are(self, app, add):
        assert built(app, add, delivery_mode="persistent").properties is None

    def test_the_setting_says_it_for_all(self, app, add):
        app.conf.task_default_delivery_mode = "transient"

        assert properties_of(built(app, add)) == {"delivery_mode": 1}
        assert built(app, add, delivery_mode=2).properties is None

    def test_an_expiration_is_in_milliseconds_on_the_wire(self, app, add):
        assert properties_of(built(app, add, expiration=1.5)) == {"expiration": "1500"}


class TestQueues:
    @pytest.mark.parametrize(
        ("options", "queue"),
        [
            ({"queue": "q", "routing_key": "q"}, "q"),
            ({"queue": "q", "exchange": "q", "exchange_type": "direct"}, "q"),
            ({"queue": "q", "exchange": "", "routing_key": "q"}, "q"),
            ({"exchange": "", "routing_key": "q"}, "q"),
            ({"exchange": "celery", "routing_key": "celery"}, "celery"),
            ({"route_name": "mail.send"}, "mail"),
            ({"route_name": "mail.send", "queue": "q"}, "q"),
        ],
    )
    def test_what_needs_no_exchange_of_its_own_leads_to_a_queue(self, app, add, options, queue):
        app.conf.task_routes = {"mail.*": "mail"}

        assert built(app, add, **options).queue == queue

    def test_a_queue_that_a_direct_exchange_leads_to_is_reached_by_its_name(self, app, add):
        queue = Queue("insert", Exchange("default"), "insert_key")

        message = built(app, add, queue=queue, routing_key="insert_key")

        assert (message.queue, message.route, message.properties) == ("insert", None, None)

    def test_a_message_for_an_exchange_says_so(self, app, add):
        message = built(app, add, exchange="logs", exchange_type="topic", routing_key="a.error", mandatory=False)

        assert message.route == Route(exchange="logs", routing_key="a.error", kind="topic", mandatory=False)
        assert properties_of(message) == {"delivery_info": {"exchange": "logs", "routing_key": "a.error"}}

    def test_an_exchange_of_headers_goes_by_those_of_the_call(self, app, add):
        message = built(app, add, exchange=Exchange("x", "headers"), headers={"country": "ch"})

        assert message.route == Route(exchange="x", kind="headers", headers={"country": "ch"})

    def test_the_delivery_mode_of_its_exchange_is_that_of_a_message(self, app, add):
        queue = Queue("q", Exchange("x", delivery_mode="transient"), "k")

        assert properties_of(built(app, add, queue=queue)) == {"delivery_mode": 1}
        assert built(app, add, queue=queue, delivery_mode=2).properties is None

    def test_an_exchange_alone_that_needs_a_key_is_an_error(self, app, add):
        with pytest.raises(ValueError, match="exchange 'logs' is named without a queue and without a routing key"):
            built(app, add, exchange="logs")

    def test_what_is_no_type_of_exchanges_is_refused(self, app, add):
        with pytest.raises(ValueError, match=r"exchange_type of a call of task 'shop\.add' must be one of 'direct'"):
            built(app, add, exchange_type="topik")

    def test_a_route_says_options_and_those_of_the_call_win(self, app, add):
        app.conf.task_routes = {"shop.*": {"queue": "money", "priority": 3, "serializer": "msgpack", "countdown": 60}}

        own, other = built(app, add), built(app, add, priority=5, queue="q", countdown=0)

        assert (own.queue, own.priority, own.content_type) == ("money", 3, "application/x-msgpack")
        assert own.eta_at > time.time() + 50
        assert (other.queue, other.priority, other.eta_at) == ("q", 5, None)

    def test_what_a_task_says_itself_wins_over_its_route(self, app):
        @app.task(name="shop.urgent", priority=9, expires=10)
        def urgent(): ...

        app.conf.task_routes = {"shop.*": {"queue": "money", "priority": 3, "expires": 100}}

        message = built(app, urgent)

        assert (message.queue, message.priority, properties_of(message)) == ("money", 9, {"expiration": "10000"})

    def test_a_router_that_looks_at_calls_is_asked_for_each(self, app, add):
        app.conf.task_routes = [lambda name, args, kwargs, options, task=None: {"queue": f"q{args[0]}", "priority": 1}]

        assert [(built(app, add, args=(n, 2)).queue, built(app, add, args=(n, 2)).priority) for n in (1, 2)] == [
            ("q1", 1),
            ("q2", 1),
        ]
        assert built(app, add, args=(1, 2), queue="q").queue == "q"

    def test_a_wrong_option_of_a_route_is_named(self, app, add):
        app.conf.task_routes = {"shop.*": {"queue": "money", "priorty": 3}}

        with pytest.raises(TypeError, match=r"the route of task 'shop\.add' has no option 'priorty'; did you mean"):
            built(app, add)


MISSING = ["producer", "publisher", "connection", "router", "immediate"]


class TestWhatIsMissing:
    @pytest.mark.parametrize("name", [*MISSING, "event_dispatcher", "MessageGroupId", "DelaySeconds"])
    def test_it_is_refused_by_name_with_the_reason(self, app, add, name):
        with pytest.raises(NotImplementedError, match=rf"option '{name}' of a call of task 'shop.add' is not in this"):
            built(app, add, **{name: object()})

    @pytest.mark.parametrize("name", MISSING)
    def test_asking_for_nothing_is_not_asking_for_it(self, app, add, name):
        built(app, add, **{name: None})
        built(app, add, **{name: False})


class TestTheTask:
    def test_its_own_options_are_those_of_its_calls(self, app):
        @app.task(name="shop.own", priority=3, time_limit=30, soft_time_limit=20, expires=60, ignore_result=True)
        def own(): ...

        before = time.time()
        message = built(app, own)

        headers = headers_of(message)
        expires = datetime.fromisoformat(headers["expires"]).timestamp()
        assert (message.priority, headers["timelimit"], headers["ignore_result"]) == (3, [30, 20], True)
        assert before + 60 <= expires + 1e-5
        assert expires <= time.time() + 60
        assert properties_of(message) == {"expiration": "60000"}

    def test_they_may_change_at_any_time(self, app, add):
        first = built(app, add)
        add.priority = 4
        second = built(app, add)
        add.expires = datetime(2030, 1, 1, tzinfo=UTC)
        third = built(app, add)

        assert (first.priority, second.priority, third.priority) == (0, 4, 4)
        assert headers_of(third)["expires"] == "2030-01-01T00:00:00+00:00"

    def test_another_task_may_be_named_whose_options_count(self, app, add):
        @app.task(name="shop.urgent", priority=9)
        def urgent(): ...

        message = built(app, "elsewhere.task", task_type=urgent)

        assert (headers_of(message)["task"], message.priority) == ("elsewhere.task", 9)

    def test_settings_say_what_nobody_else_does(self, app, add):
        app.conf.task_default_priority = 5

        assert built(app, add).priority == 5

    def test_serializer_and_compression_are_written(self, app, add):
        message = built(app, add, serializer="msgpack", compression="zlib")

        assert (message.content_type, headers_of(message)["compression"]) == (
            "application/x-msgpack",
            "application/x-gzip",
        )


class TestTheResult:
    def test_a_class_of_results_may_be_given(self, app, add):
        class Own(AsyncResult):
            pass

        result = add.apply_async(result_cls=Own, task_id="abc", ignore_result=True)

        assert (type(result), result.id, result.ignored) == (Own, "abc", True)


class TestReading:
    def test_what_arrived_in_a_message_may_say_what_nobody_knows(self):
        read = read_call_options("shop.add", {"unheard": 1, "queue": "q", "stamped_headers": ["lost"]}, lenient=True)

        assert read.fields == {"stamped_headers": ["lost"], "stamps": {}}
        assert read.others == {"queue": "q", "properties": {"unheard": 1}}

    def test_nothing_said_is_left_out(self):
        read = read_call_options("shop.add", {"queue": None, "countdown": None, "stamped_headers": None})

        assert (read.fields, read.others) == ({}, {})

    @pytest.mark.parametrize("value", [[], 3, "lasting", True])
    def test_a_wrong_delivery_mode_is_named(self, value):
        with pytest.raises(
            ValueError, match=r"delivery_mode of a call of task 'shop\.add' must be 2 or 'persistent', 1 or"
        ):
            read_call_options("shop.add", {"delivery_mode": value})
