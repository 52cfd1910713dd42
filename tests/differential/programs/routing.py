"""Where calls go: what the router says, and the exchange and routing key that messages are published with."""

from __future__ import annotations

import re
from functools import partial

from observing import make_app, program, raised

from celeriac.signals import before_task_publish
from celeriac.utils.nodenames import worker_direct

try:
    from kombu import Exchange, Queue
    from kombu.common import Broadcast
except ImportError:
    from celeriac import Broadcast, Exchange, Queue

logs = Exchange("logs", type="topic")
shop = Exchange("shop", type="direct")


def queues():
    return [
        Queue("default", shop, routing_key="default"),
        Queue("insert_data", shop, routing_key="insert_data_key"),
        Queue("push", shop, routing_key="push_key", queue_arguments={"x-max-priority": 9}),
        Queue("errors", logs, routing_key="#.error", alias="faults"),
        Queue("bare"),
        Broadcast("everybody", queue="everybody.here"),
    ]


def by_country(name, args, kwargs, options, task=None, **more):
    country = (kwargs or {}).get("country")
    return {"queue": f"orders-{country}", "priority": 2} if country else None


class ByName:
    def route_for_task(self, task, args=None, kwargs=None):
        return {"queue": "push", "routing_key": "k"} if task.startswith("push.") else None


TABLES = {
    "nothing": None,
    "a dict": {"shop.pay": {"queue": "insert_data"}, "push.*": "push"},
    "a glob before a name": {"shop.*": "push", "shop.pay": "insert_data"},
    "a regular expression": {re.compile(r"(shop|push)\.\w+"): {"queue": "errors"}},
    "pairs in a list": ([("shop.*", {"queue": "push"}), ("*.pay", {"queue": "insert_data"})],),
    "several": [{"push.a": "bare"}, by_country, ByName(), {"*": "default"}],
    "a function": by_country,
    "further options": {"shop.*": {"queue": "insert_data", "routing_key": "k", "priority": 4}},
    "no queue": {"shop.*": {"exchange": "logs", "routing_key": "a.error", "exchange_type": "topic"}},
    "an alias": {"shop.*": "faults"},
    "a queue that is not listed": {"shop.*": "elsewhere"},
    "everybody": {"shop.*": "everybody"},
    "a path of a function": "routing.by_country",
    "a path of a class": ["routing.ByName", {"*": "bare"}],
    "a queue object": {"shop.*": {"queue": Queue("own", Exchange("own"), "own.key")}},
    "a topic and its key": {"shop.*": {"queue": "errors", "routing_key": "r.error"}},
    "delivery and lifetime": {"shop.*": {"queue": "push", "delivery_mode": 1, "serializer": "json", "priority": 1}},
}
CALLS = {
    "plain": {},
    "a queue": {"queue": "push"},
    "a queue and a key": {"queue": "errors", "routing_key": "a.error"},
    "both": {"exchange": "logs", "routing_key": "b.error"},
    "a priority": {"priority": 7},
    "a queue that is not listed": {"queue": "unlisted"},
    "a queue object": {"queue": Queue("called", Exchange("called"), "called.key")},
    "all three": {"queue": "errors", "exchange": "logs", "routing_key": "d.error"},
    "a key alone": {"routing_key": "e.error"},
}


def plain(options):
    def said(value):
        if hasattr(value, "queue_arguments"):
            exchange = value.exchange
            return [value.name, exchange.name, exchange.type, value.routing_key, value.queue_arguments]
        return value

    return {key: said(value) for key, value in sorted(options.items())}


def sent(app, name, kwargs, options):
    return noted(lambda: app.send_task(name, kwargs=kwargs, **options))


def noted(send):
    seen = []

    def note(exchange=None, routing_key=None, properties=None, **more):
        seen.append([exchange, routing_key, properties.get("priority")])

    before_task_publish.connect(note, weak=False)
    try:
        send()
    except Exception:
        pass
    finally:
        before_task_publish.disconnect(note)
    return seen


@program()
def what_the_router_says():
    facts = {}
    for table, routes in TABLES.items():
        app = make_app(task_queues=queues(), task_routes=routes, task_default_queue="default")
        for call, options in CALLS.items():
            for name, kwargs in (("shop.pay", {}), ("push.a", {"country": "ch"}), ("mail.send", {})):
                facts[f"{table}, {call}, {name}"] = plain(app.amqp.router.route(dict(options), name, (), kwargs))
    return facts


@program()
def what_messages_are_published_with():
    facts = {}
    for table, routes in TABLES.items():
        app = make_app(task_queues=queues(), task_routes=routes, task_default_queue="default")
        for call, options in CALLS.items():
            for name, kwargs in (("shop.pay", {}), ("push.a", {"country": "ch"})):
                facts[f"{table}, {call}, {name}"] = sent(app, name, kwargs, options)
    return facts


def nothing():
    pass


@program()
def tasks_that_say_their_way_themselves():
    facts = {}
    for table in ("a dict", "further options"):
        app = make_app(task_queues=queues(), task_routes=TABLES[table], task_default_queue="default")
        for call, said in CALLS.items():
            by_option = app.task(name=f"shop.option, {call}", **said)(nothing)
            kind = type("Own", (app.Task,), {"name": f"shop.class, {call}", "run": staticmethod(nothing), **said})
            later = app.task(name=f"shop.later, {call}")(nothing)
            for key, value in said.items():
                setattr(later, key, value)
            for task in (by_option, app.register_task(kind()), later):
                facts[f"{table}, {task.name}"] = noted(task.delay)
                facts[f"{table}, {task.name}, and the call"] = noted(partial(task.apply_async, queue="push"))
    return facts


@program()
def the_queues_there_are():
    app = make_app(
        task_queues={
            "a": {"exchange": "x", "exchange_type": "topic", "routing_key": "a.#"},
            "b": {"exchange": "x", "binding_key": "b"},
            "c": {},
            "d": {"exchange": "y", "queue_arguments": {"x-max-priority": 3}},
        },
        task_default_queue="d",
        task_default_exchange="dx",
        task_default_exchange_type="topic",
        task_default_routing_key="d.key",
        task_queue_max_priority=5,
    )
    table = app.amqp.queues
    table.select(["a", "new"])
    table.select_add("added", exchange="x", routing_key="k")
    selected = sorted(table.consume_from)
    table.deselect("a")
    return {
        "queues": plain(dict(table)),
        "selected": selected,
        "left": sorted(table.consume_from),
        "the default": plain({"queue": app.amqp.default_queue, "exchange": app.amqp.default_exchange.name}),
    }


@program()
def the_queues_of_plain_settings():
    app = make_app(task_default_queue="q", task_create_missing_queues=False)
    typed = make_app(task_create_missing_queue_type="quorum", task_create_missing_queue_exchange_type="topic")
    return {
        "listed": plain(dict(app.amqp.queues)),
        "consumed": list(app.amqp.queues.consume_from),
        "a missing one": raised(lambda: app.amqp.router.route({"queue": "other"}, "shop.pay")),
        "made on the fly": plain({"q": typed.amqp.queues["q"]}),
        "of a node": plain({"q": worker_direct("w1@host")}),
    }
