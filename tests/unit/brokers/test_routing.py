from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.brokers.queues import Queues
from celeriac.brokers.routing import Router, compile_routes
from celeriac.brokers.topology import Broadcast, Exchange, Queue, binding
from celeriac.exceptions import ImproperlyConfigured, QueueNotFound


def queue_of(task_name, routes):
    router = Router(compile_routes(routes), Queues(), default_queue="default")
    return router.route({}, task_name)["queue"].name


def test_without_routes_every_task_goes_to_the_default_queue():
    assert queue_of("shop.pay", None) == "default"


def test_a_task_that_no_route_names_goes_to_the_default_queue():
    assert queue_of("shop.pay", {"mail.*": "mail"}) == "default"


@pytest.mark.parametrize("target", ["money", {"queue": "money"}])
def test_a_route_names_its_queue_plainly_or_in_a_dict(target):
    assert queue_of("shop.pay", {"shop.pay": target}) == "money"


@pytest.mark.parametrize("glob", ["shop.*", "shop.p?y", "*.pay", "shop.[op]ay"])
def test_a_glob_matches_the_whole_name(glob):
    assert queue_of("shop.pay", {glob: "money"}) == "money"
    assert queue_of("my_shop.pay_all", {glob: "money"}) == "default"


def test_globs_heed_case():
    assert queue_of("Shop.pay", {"shop.*": "money"}) == "default"


def test_an_exact_name_wins_over_a_glob_that_stands_before_it():
    assert queue_of("shop.pay", {"shop.*": "goods", "shop.pay": "money"}) == "money"


def test_the_first_glob_that_matches_wins():
    assert queue_of("shop.pay", {"*.pay": "money", "shop.*": "goods"}) == "money"


def test_pairs_are_as_good_as_a_dict():
    assert queue_of("shop.pay", [("shop.*", "goods"), ("*.pay", {"queue": "money"})]) == "goods"


def test_of_two_pairs_with_one_name_the_first_counts():
    assert queue_of("shop.pay", [("shop.pay", "money"), ("shop.pay", "goods")]) == "money"


def test_tables_are_tried_one_after_the_other_globs_of_the_first_before_names_of_the_second():
    routes = [{"shop.*": "goods"}, {"shop.pay": "money", "mail.send": "mail"}]

    assert queue_of("shop.pay", routes) == "goods"
    assert queue_of("mail.send", routes) == "mail"


def test_a_list_of_pairs_can_be_one_of_several_tables():
    routes = ([("feed.*", {"queue": "feeds"}), ("web.*", {"queue": "web"})],)

    assert queue_of("web.get", routes) == "web"


@pytest.mark.parametrize(
    ("routes", "named"),
    [
        ({"shop.pay": {}}, "'shop.pay'"),
        ({"shop.pay": 7}, "'shop.pay'"),
        ({"shop.pay": ""}, "'shop.pay'"),
        ({"shop.pay": {7: "x"}}, "'shop.pay'"),
        ({7: "money"}, "7"),
        ("shop routes", "'shop routes' is no dotted path"),
        ([{"a": "b"}, 7], "7 is no router"),
        (7, "7 is no router"),
    ],
)
def test_what_cannot_be_a_route_is_named(routes, named):
    with pytest.raises(ValueError, match=named):
        compile_routes(routes)


def test_a_regular_expression_matches_the_beginning_of_a_name():
    routes = {re.compile(r"(video|image)\.tasks\..*"): {"queue": "media"}, "*": "others"}

    assert queue_of("image.tasks.crop", routes) == "media"
    assert queue_of("my.image.tasks.crop", routes) == "others"


class TestRouters:
    def test_a_function_sees_the_call_and_may_leave_it_to_the_next(self):
        def by_country(name, args, kwargs, options, task=None, **more):
            return {"queue": f"{options['country']}-{kwargs['shop']}"} if name == "shop.pay" else None

        router = Router([by_country, {"mail.*": "mail"}], Queues())

        assert router.route({"country": "ch"}, "shop.pay", (), {"shop": 1})["queue"].name == "ch-1"
        assert router.route({}, "mail.send")["queue"].name == "mail"

    def test_an_object_may_be_one_as_in_celery_3(self):
        class Shop:
            def route_for_task(self, task, args=None, kwargs=None):
                return "money" if task == "shop.pay" else None

        assert queue_of("shop.pay", [Shop()]) == "money"
        assert queue_of("shop.pay", Shop) == "money"
        assert queue_of("mail.send", Shop()) == "default"

    @pytest.mark.parametrize("path", ["ways", "ways.by_name", "ways:by_name", "Shop", "TABLE"])
    def test_a_dotted_path_leads_to_one_when_it_is_asked(self, path, monkeypatch):
        module: Any = ModuleType("ways")

        class Shop:
            def route_for_task(self, task, args=None, kwargs=None):
                return "money"

        module.by_name = lambda name, args, kwargs, options, task=None: "money"
        module.Shop, module.TABLE = Shop, {"shop.*": "money"}
        package: Any = ModuleType("shop_of_tests")
        package.ways = module
        for name, found in (("shop_of_tests", package), ("shop_of_tests.ways", module)):
            monkeypatch.setitem(sys.modules, name, found)
        named = {"Shop": "ways.Shop", "TABLE": "ways.TABLE", "ways": "ways.by_name"}.get(path, path)

        assert queue_of("shop.pay", f"shop_of_tests.{named}") == "money"

    def test_a_path_that_leads_nowhere_is_named(self):
        router = Router("no.such.router")

        with pytest.raises(ImproperlyConfigured, match=r"task_routes names the router 'no\.such\.router'"):
            router.route({}, "shop.pay")

    def test_what_a_function_says_is_looked_at(self):
        with pytest.raises(ValueError, match="names no queue"):
            queue_of("shop.pay", lambda *args, **kwargs: 7)

    def test_a_route_adds_options_and_a_call_wins_over_them(self):
        router = Router({"shop.*": {"queue": "money", "priority": 3, "routing_key": "k"}}, Queues())

        routed = router.route({"priority": 5, "expires": None}, "shop.pay")

        assert (routed["queue"].name, routed["priority"], routed["routing_key"]) == ("money", 5, "k")

    def test_a_queue_that_is_not_listed_is_an_error_if_none_may_be_made(self):
        router = Router({"shop.*": "money"}, Queues([Queue("mail")], create_missing=False))

        with pytest.raises(QueueNotFound, match="queue 'money' is not in task_queues, which lists mail"):
            router.route({}, "shop.pay")

    def test_what_is_tried_is_told_up_to_what_decides(self):
        router = Router([{"a": "q", "b.*": "b", "shop.*": "money"}, lambda *args, **kwargs: "never"])

        trials = router.trials("shop.pay")

        assert [trial.rule for trial in trials] == ["1 name", "'b.*'", "'shop.*'"]
        assert [trial.said for trial in trials] == [None, None, {"queue": "money"}]


logs = Exchange("logs", "topic")
listed = Queues(
    [
        Queue("celery", Exchange("celery"), "celery"),
        Queue("errors", logs, "#.error"),
        Queue("many", [logs.binding("a.*"), binding(Exchange("more"), "k")]),
        Broadcast("all", queue="all.1"),
        Queue("plain", alias="p"),
    ],
    default_exchange=Exchange("celery"),
    default_routing_key="celery",
)


class TestDestinations:
    @pytest.mark.parametrize(
        ("said", "queue"),
        [
            ({}, "celery"),
            ({"queue": "plain"}, "plain"),
            ({"queue": "p"}, "plain"),
            ({"queue": "made-up"}, "made-up"),
            ({"queue": "plain", "routing_key": "k"}, "plain"),
            ({"queue": "plain", "exchange": ""}, "plain"),
            ({"queue": Queue("own", Exchange("x"), "k")}, "own"),
            ({"exchange": "", "routing_key": "q"}, "q"),
            ({"exchange": "celery"}, "celery"),
            ({"routing_key": "k"}, "celery"),
        ],
    )
    def test_into_a_queue(self, said, queue):
        found = Router(queues=listed).destination(said)

        assert (found.queue, found.route) == (queue, None)

    @pytest.mark.parametrize(
        ("said", "exchange", "key", "kind"),
        [
            ({"queue": "errors"}, "logs", "#.error", "topic"),
            ({"queue": "errors", "routing_key": "a.error"}, "logs", "a.error", "topic"),
            ({"exchange": "logs", "routing_key": "a.error"}, "logs", "a.error", "topic"),
            ({"exchange": logs, "routing_key": "a.error"}, "logs", "a.error", "topic"),
            ({"queue": "all"}, "all", "celery", "fanout"),
            ({"exchange": "all"}, "all", "", "fanout"),
            ({"exchange": "more", "routing_key": "k"}, "more", "k", "direct"),
            ({"exchange": "unheard", "routing_key": "k"}, "unheard", "k", None),
            ({"queue": "plain", "exchange": "x", "routing_key": "k"}, "x", "k", None),
            ({"exchange": "x", "exchange_type": "fanout"}, "x", "", "fanout"),
        ],
    )
    def test_to_an_exchange(self, said, exchange, key, kind):
        route = Router(queues=listed).destination(said).route

        assert route is not None
        assert (route.exchange, route.routing_key, route.kind) == (exchange, key, kind)

    def test_an_exchange_that_leads_nowhere_without_a_key_is_an_error(self):
        with pytest.raises(ValueError, match="exchange 'unheard' is named without a queue and without a routing key"):
            Router(queues=listed).destination({"exchange": "unheard"})


names = st.text("ab.", max_size=4)
globs = st.text("ab.*", max_size=4)
tables = st.dictionaries(globs, st.sampled_from(["q1", "q2"]), max_size=5)


@given(names, st.lists(tables, max_size=3))
def test_every_name_has_exactly_one_queue(name, routes):
    queue = queue_of(name, routes)

    named = {queue for table in routes for queue in table.values()}
    assert queue in named | {"default"}
    assert queue == queue_of(name, routes)
