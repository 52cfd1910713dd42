from __future__ import annotations

import json
import os
import socket
import time
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from celeriac.app.context import Context, entered
from tests.unit.app.contexts import run_of
from tests.unit.app.messages import headers_of


@pytest.fixture
def add(app):
    @app.task(name="shop.add")
    def add(x, y=1): ...

    return add


class TestTheMessage:
    def test_it_has_a_new_id_that_is_its_own_root(self, app, add):
        first, second = app.builder.build(add, (1,), {}), app.builder.build(add, (1,), {})

        headers = headers_of(first)
        assert first.task_id != second.task_id
        assert (headers["id"], headers["root_id"], headers["parent_id"]) == (first.task_id, first.task_id, None)

    def test_it_names_the_process_that_sends_it(self, app, add):
        assert headers_of(app.builder.build(add, (1,), {}))["origin"] == f"gen{os.getpid()}@{socket.gethostname()}"

    def test_sent_inside_a_run_it_is_a_child_of_that(self, app, add):
        with entered(run_of(add)):
            headers = headers_of(app.builder.build(add, (1,), {}))

        assert (headers["root_id"], headers["parent_id"]) == ("root-1", "parent-1")

    def test_sent_by_a_task_that_a_run_calls_as_a_function_it_is_a_child_of_the_run(self, app, add):
        with entered(run_of(add)), entered(Context(task="inner")):
            headers = headers_of(app.builder.build(add, (1,), {}))

        assert headers["parent_id"] == "parent-1"

    def test_custom_headers_stand_beside_the_others(self, app, add):
        headers = headers_of(app.builder.build(add, (1,), {}, {"headers": {"tenant": "t1"}, "shadow": "Adding"}))

        assert (headers["tenant"], headers["shadow"]) == ("t1", "Adding")

    def test_a_task_that_is_not_known_here_decides_itself_about_its_result(self, app, add):
        unknown = app.builder.build("elsewhere.task", (1,), {})
        known = app.builder.build("shop.add", (1,), {})

        assert (headers_of(unknown)["ignore_result"], headers_of(known)["ignore_result"]) == (None, False)

    def test_what_a_task_says_of_results_and_priority_goes_into_its_messages(self, app):
        @app.task(ignore_result=True, priority=7)
        def quiet(): ...

        message = app.builder.build(quiet, (), {})
        louder = app.builder.build(quiet, (), {}, {"ignore_result": False, "priority": 0})

        assert (headers_of(message)["ignore_result"], message.priority) == (True, 7)
        assert (headers_of(louder)["ignore_result"], louder.priority) == (False, 0)

    def test_the_default_priority_is_for_tasks_that_are_not_known_here_too(self, app):
        app.conf.task_default_priority = 5

        assert app.builder.build("elsewhere.task", (), {}).priority == 5

    def test_protocol_1_is_written_when_the_settings_ask_for_it(self, app, add):
        app.conf.task_protocol = 1

        message = app.builder.build(add, (1,), {}, {"headers": {"tenant": "t"}}, task_id="abc")

        body = json.loads(message.body)
        assert (message.headers, body["task"], body["id"], body["args"]) == (b'{"tenant": "t"}', "shop.add", "abc", [1])


class TestTimes:
    def test_a_countdown_becomes_an_eta(self, app, add):
        before = time.time()
        message = app.builder.build(add, (1,), {}, {"countdown": 60})

        eta = datetime.fromisoformat(headers_of(message)["eta"])
        assert before + 60 <= message.eta_at <= time.time() + 60
        assert eta.timestamp() == pytest.approx(message.eta_at, abs=1e-5)
        assert eta.utcoffset() == datetime.now(UTC).utcoffset()

    def test_a_naive_eta_is_meant_in_the_apps_zone(self, app, add):
        app.conf.timezone = "Europe/Berlin"

        message = app.builder.build(add, (1,), {}, {"eta": datetime(2030, 7, 1, 12)})

        assert headers_of(message)["eta"] == "2030-07-01T12:00:00+02:00"
        assert message.eta_at == datetime(2030, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin")).timestamp()

    def test_an_expiry_is_written_for_workers_and_for_brokers(self, app, add):
        message = app.builder.build(add, (1,), {}, {"expires": 60})

        expires = datetime.fromisoformat(headers_of(message)["expires"]).timestamp()
        assert expires == pytest.approx(time.time() + 60, abs=30)
        assert message.properties is not None
        assert b'"expiration"' in message.properties

    def test_an_expiry_in_the_past_is_sent_all_the_same(self, app, add):
        message = app.builder.build(add, (1,), {}, {"expires": -60})

        assert message.properties == b'{"expiration": "0"}'

    def test_a_task_can_have_an_expiry_for_all_its_calls(self, app):
        @app.task(expires=60)
        def brief(): ...

        assert headers_of(app.builder.build(brief, (), {}))["expires"] is not None
        own = app.builder.build(brief, (), {}, {"expires": "2030-01-01T00:00:00Z"})
        assert headers_of(own)["expires"] == "2030-01-01T00:00:00+00:00"


class TestQueues:
    def test_the_default_queue_can_be_changed_at_any_time(self, app, add):
        before = app.builder.build(add, (1,), {}).queue

        app.conf.task_default_queue = "other"

        assert (before, app.builder.build(add, (1,), {}).queue) == ("celery", "other")

    def test_routes_decide_and_can_be_changed_at_any_time(self, app, add):
        app.conf.task_routes = {"shop.*": "goods"}
        first = app.builder.build(add, (1,), {}).queue

        app.conf.task_routes = {"shop.add": {"queue": "sums"}}

        assert (first, app.builder.build(add, (1,), {}).queue) == ("goods", "sums")

    def test_the_queue_of_a_call_wins_over_routes(self, app, add):
        app.conf.task_routes = {"shop.*": "goods"}

        assert app.builder.build(add, (1,), {}, {"queue": "mine"}).queue == "mine"

    def test_names_without_end_do_not_fill_the_memory(self, app):
        for number in range(10_000):
            app.builder.build(f"task-{number}", (), {})

        assert len(app.builder.rules_now().names) <= 4096
