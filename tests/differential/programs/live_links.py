from __future__ import annotations

import time
from pathlib import Path

from observing import PATIENCE, POLL, get, note, notes, program, raised
from shop import app

from celeriac import signature


@app.task
def add(x, y):
    return x + y


@app.task
def fail(*args):
    raise ValueError("no")


@app.task(bind=True)
def keep(self, name, *args):
    note(name, *args, self.request.root_id, self.request.parent_id)
    return list(args)


@app.task(bind=True)
def keep_result(self, result, name):
    note(name, result, self.request.root_id, self.request.parent_id)
    return result


@program()
def a_link_gets_the_result():
    add.apply_async((1, 2), link=keep_result.s("one"), task_id="link-1")
    add.apply_async((3, 4), link=[keep_result.s("two"), keep.si("two", "fixed")], task_id="link-2")
    first, second = sorted(notes("one", 1)), sorted(notes("two", 2))
    return {"one": first, "two": second, "children": sorted(_flat(_values_of_children("link-2")), key=str)}


def _values_of_children(task_id):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if children := app.AsyncResult(task_id).children:
            return [child.get(timeout=PATIENCE, interval=POLL) for child in children]
        time.sleep(POLL)
    return None


def _flat(values):
    return [one for value in values for one in (_flat(value) if isinstance(value, list) else [value])]


@program()
def links_of_links():
    add.apply_async((1, 1), link=add.s(10).set(link=keep_result.s("deep")), task_id="link-3")
    return {"seen": sorted(notes("deep", 1))}


@program()
def no_link_after_a_failure():
    failed = fail.apply_async(link=keep_result.s("never"), task_id="link-4")
    kind = raised(get, failed)
    add.apply_async((1, 2), link=keep_result.s("barrier"))
    notes("barrier", 1)
    return {"raised": kind, "seen": Path("notes-never").exists(), "children": failed.children or []}


@app.task
def with_request(request, exc, traceback):
    note("errors", "with_request", request.id, repr(exc), "ValueError" in str(traceback))


@app.task
def with_id(task_id):
    note("errors-by-id", "with_id", task_id)


@app.task(bind=True)
def bound_errback(self, task_id):
    note("errors-bound", "bound", task_id, self.request.parent_id)


@program()
def errbacks_with_the_request():
    result = fail.apply_async(link_error=with_request.s(), task_id="errback-1")
    kind = raised(get, result)
    return {"raised": kind, "seen": sorted(notes("errors", 1))}


@program()
def errbacks_with_the_id():
    fail.apply_async(link_error=with_id.s(), task_id="errback-2")
    fail.apply_async(link_error=[bound_errback.s()], task_id="errback-3")
    return {"seen": [sorted(notes("errors-by-id", 1)), sorted(notes("errors-bound", 1))]}


@program()
def signatures_that_are_sent():
    sig = add.s(1)
    by_name = signature("live_links.add", args=(1, 2), app=app)
    linked = add.s(1, 1)
    linked.link(keep_result.s("sig"))
    linked.apply_async(task_id="sig-1")
    return {
        "partial": get(sig.delay(2)),
        "by name": get(by_name.apply_async()),
        "linked": sorted(notes("sig", 1)),
        "immutable": get(add.si(4, 5).apply_async((1, 2))),
        "options": get(add.s(1, 1).set(countdown=0, task_id="sig-2").apply_async()),
        "id": app.AsyncResult("sig-2").get(timeout=PATIENCE, interval=POLL),
        "inside a task": get(sends.delay()),
    }


@app.task
def sends():
    sig = add.s(20, 2)
    return [dict(sig)["task"], sig()]


@app.task(bind=True)
def takes_a_signature(self, callback):
    callback = signature(callback, app=app)
    return callback(1)


@program()
def signatures_as_arguments():
    return {"value": get(takes_a_signature.delay(add.s(41)))}
