from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone

from observing import differs, make_app, program

from celeriac.signals import after_task_publish, before_task_publish


def published(send):
    """Call a function that sends messages; return what each of them is."""
    seen = []

    def note(sender=None, body=None, exchange=None, routing_key=None, headers=None, properties=None, **_):
        seen.append(
            {
                "sender": sender,
                "body": body,
                "routing_key": routing_key,
                "headers": dict(headers),
                "properties": dict(properties),
            }
        )

    before_task_publish.connect(note, weak=False)
    send()
    before_task_publish.disconnect(note)
    return seen


def headers_of(send):
    return published(send)[0]["headers"]


def seconds_from_now(text):
    """Round an instant to ten seconds from now."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        return ["naive", round((at - datetime.now(UTC).replace(tzinfo=None)).total_seconds(), -1)]
    return [at.utcoffset() == timedelta(0), round((at - datetime.now(UTC)).total_seconds(), -1)]


@program()
def the_message_of_a_plain_call():
    app = make_app()

    @app.task
    def add(x, y=0):
        return x + y

    (message,) = published(lambda: add.delay(1, y=2))
    args, kwargs, embed = message["body"]
    headers = message["headers"]
    return {
        "sender": message["sender"],
        "routing key": message["routing_key"],
        "args": [list(args), kwargs],
        "embed": {key: embed[key] for key in ("callbacks", "errbacks", "chain", "chord")},
        "headers": {key: value for key, value in headers.items() if key not in ("id", "root_id", "origin")},
        "ids": [headers["root_id"] == headers["id"], "@" in headers["origin"]],
        "correlated": message["properties"]["correlation_id"] == headers["id"],
        "reply_to": message["properties"]["reply_to"] == app.thread_oid,
    }


@program()
def options_that_travel_in_headers():
    app = make_app()

    @app.task
    def one():
        return 1

    def header(name, **options):
        return headers_of(lambda: one.apply_async(**options))[name]

    return {
        "id": header("id", task_id="mine"),
        "shadow": header("shadow", shadow="other.name"),
        "timelimit": [header("timelimit", time_limit=30, soft_time_limit=20), header("timelimit", soft_time_limit=3)],
        "group": [header("group", group_id="g"), header("group_index", group_index=3)],
        "parents": [header("root_id", root_id="r"), header("parent_id", parent_id="p")],
        "ignore_result": [header("ignore_result", ignore_result=True), header("ignore_result")],
        "argsrepr": [header("argsrepr", argsrepr="('<secret>',)"), header("kwargsrepr", kwargsrepr="{}")],
        "retries": header("retries", retries=2),
        "replaced": header("replaced_task_nesting", replaced_task_nesting=1),
    }


@program()
def headers_of_ones_own():
    app = make_app()

    @app.task
    def one():
        return 1

    headers = headers_of(lambda: one.apply_async(headers={"tenant": "acme", "number": 5}))
    return {"top level": [headers.get("tenant"), headers.get("number")], "task": headers["task"]}


@program(
    differs("naive eta", celery=["naive", 40.0], ours=[True, 40.0], row="a naive ETA"),
)
def times_in_messages():
    app = make_app()

    @app.task
    def one():
        return 1

    @app.task(expires=50)
    def short_lived():
        return 1

    soon = datetime.now(UTC) + timedelta(seconds=40)
    berlin = soon.astimezone(timezone(timedelta(hours=2)))

    def header(name, task=one, **options):
        value = headers_of(lambda: task.apply_async(**options))[name]
        return value and seconds_from_now(value)

    return {
        "countdown": header("eta", countdown=20),
        "eta": [header("eta", eta=soon), header("eta", eta=berlin)],
        "naive eta": header("eta", eta=soon.replace(tzinfo=None)),
        "expires": [header("expires", expires=30), header("expires", expires=soon), header("expires", expires=berlin)],
        "of the task": header("expires", task=short_lived),
        "overruled": header("expires", task=short_lived, expires=10),
        "none": [header("eta"), header("expires")],
    }


@program()
def properties_of_messages():
    app = make_app(task_default_priority=2)

    @app.task
    def one():
        return 1

    @app.task(priority=7)
    def urgent():
        return 1

    def properties(task=one, **options):
        return published(lambda: task.apply_async(**options))[0]["properties"]

    return {
        "priority": [
            properties().get("priority"),
            properties(urgent).get("priority"),
            properties(urgent, priority=9).get("priority"),
        ],
        "reply_to": properties(reply_to="me")["reply_to"],
        "correlation_id": properties(task_id="mine")["correlation_id"],
    }


@program()
def queues_of_messages():
    app = make_app(task_default_queue="shop")

    @app.task
    def one():
        return 1

    def routing_key(**options):
        return published(lambda: one.apply_async(**options))[0]["routing_key"]

    return {
        "default": routing_key(),
        "queue": routing_key(queue="mail"),
        "signature": published(lambda: one.s().set(queue="sig").delay())[0]["routing_key"],
        "send_task": published(lambda: app.send_task("other", queue="third"))[0]["routing_key"],
    }


@program()
def callbacks_in_messages():
    app = make_app()

    @app.task
    def add(x, y):
        return x + y

    (message,) = published(lambda: add.apply_async((1, 2), link=[add.s(3), add.si(4, 5)], link_error=add.s(6)))
    embed = json.loads(json.dumps(message["body"][2]))
    single = published(lambda: add.apply_async((1, 2), link=add.s(3)))[0]["body"][2]
    return {
        "callbacks": embed["callbacks"],
        "errbacks": embed["errbacks"],
        "single": [link["task"] for link in single["callbacks"]],
        "none": published(lambda: add.delay(1, 2))[0]["body"][2]["callbacks"],
    }


@program()
def tasks_sent_by_name():
    app = make_app()

    @app.task(name="known", time_limit=40, priority=3, ignore_result=True)
    def known():
        return 1

    (unknown,) = published(lambda: app.send_task("unknown", (1,), {"a": 2}, task_id="an-id", countdown=None))
    known()  # from here on its options are known, too
    (registered,) = published(lambda: app.send_task("known"))
    return {
        "sender": unknown["sender"],
        "body": [list(unknown["body"][0]), unknown["body"][1]],
        "id": unknown["headers"]["id"],
        "task": unknown["headers"]["task"],
        "options of the task": [registered["headers"]["timelimit"], registered["properties"].get("priority")],
        "result": type(app.send_task("unknown")).__name__,
    }


@program()
def reprs_of_arguments():
    app = make_app()

    @app.task
    def show(*args, **kwargs):
        return None

    def reprs(*args, **kwargs):
        headers = headers_of(lambda: show.delay(*args, **kwargs))
        return [headers["argsrepr"], headers["kwargsrepr"]]

    long = reprs("x" * 5000, a="y" * 5000)
    return {
        "plain": reprs(1, "two", None, b=[1, 2], c={"d": 3}),
        "empty": reprs(),
        "long": [len(text) <= 1100 for text in long],
        "long begins": [text[:10] for text in long],
        "unicode": reprs("Grüße 你好"),
        "tuple": reprs((1, 2)),
    }


@program()
def signals_of_publishing():
    app = make_app()
    seen = []

    @app.task
    def one():
        return 1

    def before(sender=None, headers=None, body=None, **fields):
        seen.append(["before", sender, headers["task"], sorted(name for name in fields if name != "signal")])
        headers["added"] = "by a receiver"

    def after(sender=None, headers=None, body=None, **fields):
        seen.append(
            ["after", sender, headers.get("added"), sorted(name for name in fields if name != "signal"), list(body[0])]
        )

    before_task_publish.connect(before, weak=False)
    after_task_publish.connect(after, weak=False)
    one.delay()
    return {"seen": seen}


@program()
def children_of_the_running_task():
    app = make_app()

    @app.task(bind=True)
    def inner(self):
        return 1

    @app.task(bind=True)
    def outer(self):
        headers = headers_of(lambda: inner.delay())
        (sent,) = published(lambda: inner.apply_async(add_to_parent=False))
        return [headers["parent_id"], headers["root_id"], len(self.request.children), sent["headers"]["parent_id"]]

    @app.task(bind=True, trail=False)
    def untracked(self):
        inner.delay()
        return len(self.request.children or ())

    return {"seen": outer.apply(task_id="an-id").get(), "without trail": untracked.apply().get()}


@program()
def priorities_are_inherited_when_asked():
    app = make_app(task_inherit_parent_priority=True)
    seen = []

    @app.task
    def inner():
        return 1

    @app.task
    def outer():
        seen.append(published(inner.delay)[0]["properties"].get("priority"))
        seen.append(published(lambda: inner.apply_async(priority=1))[0]["properties"].get("priority"))

    outer.apply(priority=5)
    return {"seen": seen}
