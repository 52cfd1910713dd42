from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from observing import PATIENCE, POLL, as_json, get, program, raised
from shop import app


@app.task(bind=True)
def look(self, *args, **kwargs):
    request = self.request
    fields = [
        "args",
        "kwargs",
        "called_directly",
        "is_eager",
        "retries",
        "group",
        "group_index",
        "chord",
        "chain",
        "callbacks",
        "errbacks",
        "reply_to",
        "shadow",
        "expires",
        "eta",
        "timelimit",
        "task",
        "lang",
        "ignore_result",
        "replaced_task_nesting",
        "argsrepr",
        "kwargsrepr",
        "headers",
        "stamps",
        "stamped_headers",
        "children",
        "root_id",
        "parent_id",
        "correlation_id",
    ]
    return as_json({name: getattr(request, name, "none of that name") for name in fields})


@app.task(bind=True)
def look_at(self, *names):
    return as_json([getattr(self.request, name, "none of that name") for name in names])


@app.task(bind=True)
def look_around(self):
    request = self.request
    return {
        "hostname": request.hostname,
        "delivery_info": {
            name: request.delivery_info.get(name) for name in ("exchange", "routing_key", "priority", "redelivered")
        },
        "origin": "@" in request.origin,
        "pid": isinstance(request.loglevel, (int, type(None))),
        "properties": sorted(set(request.properties or ()) & {"correlation_id", "reply_to", "priority"}),
        "get": [request.get("id") == request.id, request.get("nothing", "fallback")],
        "current": app.current_task is self or app.current_task.name == self.name,
    }


@app.task(bind=True)
def look_inside(self, depth):
    if depth:
        inner = look_inside.apply_async((depth - 1,), task_id=f"{self.request.id}-{depth - 1}")
        return [self.request.id, self.request.root_id, self.request.parent_id, len(self.request.children), inner.id]
    return [self.request.id, self.request.root_id, self.request.parent_id]


@program()
def the_request_in_a_worker():
    seen = get(look.apply_async((1, "two"), {"three": [3]}, task_id="the-request"))
    del seen["reply_to"]  # a queue of the caller's, where there is one
    headers = seen.pop("headers")
    return {"seen": seen, "headers": headers or {}}


@program()
def surroundings_of_the_request():
    return get(look_around.delay())


@program()
def options_that_reach_the_request():
    def see(name, **options):
        return get(look_at.apply_async((name,), **options))[0]

    soon = datetime.now(UTC) + timedelta(seconds=0.1)
    return {
        "headers": {
            key: value
            for key, value in see("headers", headers={"tenant": "acme", "n": 5}).items()
            if key in ("tenant", "n")
        },
        "properties": {
            key: value
            for key, value in see("properties", app_id="shop", message_id="m1", priority=3).items()
            if key in ("app_id", "message_id", "priority", "delivery_mode", "type")
        },
        "shadow": see("shadow", shadow="another.name"),
        "timelimit": [see("timelimit", time_limit=60, soft_time_limit=50), see("timelimit", time_limit=60)],
        "group": [see("group", group_id="g"), see("group_index", group_index=4)],
        "reply_to": see("reply_to", reply_to="answers"),
        "priority": see("priority", priority=3),
        "root": [see("root_id", root_id="root"), see("parent_id", parent_id="parent")],
        "argsrepr": see("argsrepr", argsrepr="(hidden)"),
        "retries": see("retries", retries=2),
        "eta": datetime.fromisoformat(see("eta", eta=soon)) == soon,
        "ignore_result": see("ignore_result", ignore_result=False),
    }


@program()
def tasks_that_call_tasks():
    outer = look_inside.apply_async((2,), task_id="deep")
    top = get(outer)
    middle = get(app.AsyncResult("deep-1"))
    bottom = get(app.AsyncResult("deep-1-0"))
    return {
        "top": top,
        "middle": middle,
        "bottom": bottom,
        "children": [child.id for child in app.AsyncResult("deep").children],
        "collected": [value for _, value in app.AsyncResult("deep").collect(timeout=PATIENCE, interval=POLL)],
    }


@app.task
def now():
    return time.time()


@program()
def calls_for_later():
    def delay_of(**options):
        began = time.time()
        return get(now.apply_async(**options)) - began

    soon = datetime.now(UTC) + timedelta(seconds=1.2)
    late = delay_of(eta=soon.isoformat())
    return {
        "countdown": 0.9 < delay_of(countdown=1) < 60,
        "eta": late > 0.9,
        "in the past": delay_of(eta=datetime.now(UTC) - timedelta(hours=1)) < 60,
        "zero": delay_of(countdown=0) < 60,
    }


@program()
def calls_that_expire():
    expired = look_at.apply_async(("id",), expires=-1)
    late = look_at.apply_async(("id",), countdown=1.0, expires=0.3)
    in_time = look_at.apply_async(("called_directly",), expires=60)
    return {
        "in time": get(in_time),
        "expired": [raised(expired.get, timeout=PATIENCE, interval=POLL), expired.state],
        "late": [raised(late.get, timeout=PATIENCE, interval=POLL), late.state],
        "text": str(expired.result),
        "ready": [expired.ready(), expired.failed(), expired.successful()],
    }


@app.task(name="Überweisung")
def transfer(betrag, *, währung="€"):
    return [betrag, währung]


@program()
def text_of_all_languages():
    return {
        "value": get(transfer.delay("五", währung="圓")),
        "by name": get(app.send_task("Überweisung", ("五",))),
        "long": len(get(transfer.delay("x" * 300_000))[0]),
        "null": get(transfer.delay("a\x00b")),
    }


@program()
def ids_of_ones_own():
    first = now.apply_async(task_id="my own id / 1")
    get(first)
    again = app.AsyncResult("my own id / 1")
    return {"id": first.id, "state": again.state, "value": isinstance(again.result, float)}


@program()
def direct_calls_inside_of_a_worker():
    return {"seen": get(calls_directly.delay())}


@app.task(bind=True)
def calls_directly(self):
    within = look_at("called_directly", "id")
    applied = look_at.apply(("called_directly", "is_eager", "id"), task_id="applied-inside").get(
        disable_sync_subtasks=False
    )
    return [within, applied, self.request.called_directly, app.current_task.name]


@app.task(bind=True)
def waits(self, how):
    inner = now.delay()
    if how == "refused":
        return raised(inner.get, timeout=5)
    if how == "insists":
        return type(inner.get(timeout=5, interval=0.02, disable_sync_subtasks=False)).__name__
    from celeriac.result import allow_join_result

    with allow_join_result():
        return type(inner.get(timeout=5, interval=0.02)).__name__


@program()
def waiting_for_a_task_in_a_task():
    return {how: get(waits.delay(how)) for how in ("refused", "insists", "allowed")}
