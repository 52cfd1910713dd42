from __future__ import annotations

import time
from datetime import datetime
from pathlib import Path

from observing import PATIENCE, POLL, as_json, differs, get, program, raised
from shop import app

from celeriac import Task


def wait_for(claim):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := claim():
            return value
        time.sleep(POLL)
    return None


@app.task
def give(value, *rest, **more):
    return value


@app.task
def fail():
    raise KeyError("gone")


@app.task(bind=True, track_started=True)
def waits_for(self, name):
    while not Path(name).exists():
        time.sleep(POLL)
    return "went on"


@app.task(bind=True)
def reports(self, name):
    for done in range(1, 3):
        self.update_state(state="PROGRESS", meta={"done": done})
    self.update_state(state="WAITING")
    self.update_state(state="PROGRESS", meta={"done": 3, "of": 3})
    while not Path(name).exists():
        time.sleep(POLL)
    return "reported"


@program()
def all_that_a_result_knows():
    result = give.apply_async(("x", 2), {"more": [3]}, task_id="known-1")
    get(result)
    found = app.AsyncResult("known-1")
    return {
        "state": [found.state, found.status, found.ready(), found.successful(), found.failed()],
        "result": [found.result, found.info, found.traceback],
        "name": found.name,
        "args": as_json(found.args),
        "kwargs": as_json(found.kwargs),
        "worker": found.worker,
        "queue": found.queue,
        "retries": found.retries,
        "date_done": isinstance(found.date_done, datetime),
        "children": found.children or [],  # none of it in Celery's databases, an empty list elsewhere
        "parent": found.parent,
        "exists": found.exists(),
    }


@program()
def all_that_a_failure_knows():
    result = fail.apply_async(task_id="known-2")
    raised(get, result)
    found = app.AsyncResult("known-2")
    return {
        "state": found.state,
        "name": found.name,
        "worker": found.worker,
        "queue": found.queue,
        "retries": found.retries,
        "date_done": isinstance(found.date_done, datetime),
        "traceback": found.traceback.splitlines()[0],
    }


@program()
def the_state_of_a_task_that_has_started():
    result = waits_for.apply_async(("go-on-1",), task_id="started-1")
    wait_for(lambda: app.AsyncResult("started-1").state == "STARTED")
    found = app.AsyncResult("started-1")
    seen = [found.state, found.ready(), sorted(found.info), found.info["hostname"], isinstance(found.info["pid"], int)]
    early = raised(found.get, timeout=0.1)
    Path("go-on-1").touch()
    return {"started": seen, "too early": early, "value": get(result)}


@program()
def states_that_a_task_reports():
    result = reports.apply_async(("go-on-2",), task_id="reports-1")
    wait_for(lambda: app.AsyncResult("reports-1").info == {"done": 3, "of": 3})
    found = app.AsyncResult("reports-1")
    seen = [found.state, found.info, found.ready()]
    Path("go-on-2").touch()
    value = get(result)
    return {
        "progress": seen,
        "value": value,
        "at last": [app.AsyncResult("reports-1").state, app.AsyncResult("reports-1").info],
    }


@app.task(bind=True)
def reports_of_another(self, task_id):
    self.update_state(task_id=task_id, state="TOLD", meta=["by", self.name])


@program()
def a_state_for_another_task():
    get(reports_of_another.delay("told-1"))
    return {"state": app.AsyncResult("told-1").state, "info": app.AsyncResult("told-1").info}


@program()
def waiting_with_callbacks():
    seen, intervals = [], []
    result = waits_for.apply_async(("go-on-3",), task_id="waits-3")

    def on_interval():
        intervals.append(1)
        Path("go-on-3").touch()

    value = result.get(
        timeout=PATIENCE,
        interval=POLL,
        on_interval=on_interval,
        callback=lambda task_id, value: seen.append([task_id, value]),
    )
    return {"value": value, "seen": seen, "called": bool(intervals)}


@program()
def forgetting_a_result():
    result = give.delay(1)
    get(result)
    other = app.AsyncResult(result.id)
    other.forget()
    return {"after": app.AsyncResult(result.id).state, "exists": app.AsyncResult(result.id).exists()}


@program()
def values_of_all_kinds():
    values = {
        "none": None,
        "nested": {"a": [1, {"b": [True, None, 2.5]}]},
        "tuple": (1, (2,)),
        "text": "Grüße 你好 🎉",
        "numbers": [0, -1, 2**63, 1e300],
        "empty": [[], {}, ""],
        "long": "x" * 100_000,
    }
    results = {name: give.delay(value) for name, value in values.items()}
    found = {name: get(result) for name, result in results.items()}
    found["long"] = len(found["long"])
    return found


@app.task(serializer="msgpack")
def packed(value):
    return [type(value).__name__, value]


@app.task(serializer="yaml")
def written(value):
    return [type(value).__name__, value]


@app.task(compression="gzip")
def squeezed(value):
    return len(value)


@program()
def serializers_on_the_way_to_a_worker():
    return {
        "msgpack": [get(packed.delay([1, {"a": None}])), get(packed.delay("text"))],
        "yaml": [get(written.delay([1, {"a": None}])), get(written.delay("yes"))],
        "of the call": get(packed.apply_async(([1],), serializer="json")),
    }


@program()
def compressions_on_the_way_to_a_worker():
    text = "text " * 5000
    kinds = ("gzip", "zlib", "bzip2", "lzma", "brotli", "zstd")
    return {
        "of the task": get(squeezed.delay(text)),
        **{kind: get(squeezed.apply_async((text,), compression=kind)) for kind in kinds},
    }


class Counting(Task):
    abstract = True
    count = 0

    def __init__(self):
        self.made = True

    def next(self):
        self.count += 1
        return self.count


@app.task(base=Counting, bind=True)
def counts(self):
    return [self.made, self.next() >= 1, type(self).__name__ != "Counting"]


class Send(app.Task):
    name = "live.send"
    max_retries = 9

    def run(self, to, *, subject="none"):
        return [self.name, to, subject, self.max_retries, self.request.id]


send = app.register_task(Send())


@program(
    differs("checked", celery="AsyncResult", ours="TypeError", row="the arguments of class-based tasks"),
)
def classes_in_a_worker():
    return {
        "counts": get(counts.delay())[:2],
        "send": get(send.apply_async(("bob",), {"subject": "hello"}, task_id="send-1")),
        "by name": get(app.send_task("live.send", ("eve",), task_id="send-2")),
        "checked": _checked(send),
    }


def _checked(task):
    try:
        return type(task.delay()).__name__
    except TypeError:
        return "TypeError"


@program()
def two_results_of_one_id():
    first = give.apply_async((1,), task_id="same")
    get(first)
    second = give.apply_async((2,), task_id="same")
    for _ in range(8):  # more than there are slots: the second has run
        get(give.delay(0))
    return {"first": first.get(timeout=1), "stored": app.AsyncResult("same").result, "equal": first == second}


@program()
def many_calls_at_once():
    results = [give.delay(n) for n in range(40)]
    return {"values": [get(result) for result in results], "states": sorted({result.state for result in results})}
