from __future__ import annotations

import time
from pathlib import Path

from observing import PATIENCE, POLL, get, program, raised_text
from shop import app

from celeriac import Task

# Celery sends a retry before it stores RETRY; an attempt that is faster than that is overwritten by it.
SOON = 0.4


def note(name, line):
    with Path(f"notes-{name}").open("a") as file:
        file.write(f"{line}\n")


def notes(name):
    path = Path(f"notes-{name}")
    return path.read_text().splitlines() if path.exists() else []


def states_of(result):
    """Watch a call until it is ready; return its states in their order."""
    states = []
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        state = app.AsyncResult(result.id).state
        if not states or states[-1] != state:
            states.append(state)
        if state in ("SUCCESS", "FAILURE"):
            break
        time.sleep(POLL)
    return [state for state in states if state not in ("PENDING", "STARTED")]


@app.task(bind=True, max_retries=3)
def again(self, until, delay=SOON, *args, **kwargs):
    if self.request.retries < until:
        raise self.retry(countdown=delay)
    return [self.request.retries, self.request.id, list(args), kwargs]


@program()
def retries_until_it_works_in_a_worker():
    result = again.apply_async((2, SOON, "x"), {"y": 1}, task_id="again-1")
    return {
        "value": get(result),
        "state": result.state,
        "limit": raised_text(get, again.apply_async((9,), task_id="again-2")),
    }


@app.task(bind=True, max_retries=1)
def again_later(self):
    if not self.request.retries:
        raise self.retry(exc=KeyError("not yet"), countdown=5)  # longer than it takes to look, on a busy machine, too
    return "second"


@program()
def the_state_between_two_attempts():
    result = again_later.delay()
    deadline = time.monotonic() + PATIENCE
    while app.AsyncResult(result.id).state != "RETRY" and time.monotonic() < deadline:
        time.sleep(POLL)
    between = app.AsyncResult(result.id)
    seen = [
        between.state,
        type(between.result).__name__,
        str(between.result),
        between.ready(),
        between.failed(),
        between.successful(),
    ]
    traceback = between.traceback
    return {"between": seen, "traceback": "Traceback" in (traceback or ""), "value": get(result)}


@app.task(bind=True, max_retries=2)
def gives_up(self, how):
    if how == "exc":
        raise self.retry(exc=ValueError("the last word"), countdown=SOON)
    if how == "handling":
        try:
            raise KeyError("being handled")
        except KeyError:
            raise self.retry(countdown=SOON)
    raise self.retry(countdown=SOON)


@program()
def giving_up_in_a_worker():
    results = {how: gives_up.apply_async((how,), task_id=f"gives-up-{how}") for how in ("exc", "handling", "plain")}
    return {how: [raised_text(get, result), result.state] for how, result in results.items()}


@app.task(bind=True)
def changes(self, x, y=0):
    if not self.request.retries:
        raise self.retry(args=(x + 1,), kwargs={"y": y + 5}, countdown=SOON)
    return [x, y, self.request.retries]


@program()
def retries_with_other_arguments_in_a_worker():
    return {"value": get(changes.delay(1, y=2))}


@app.task(
    autoretry_for=(ConnectionError,), retry_backoff=1, retry_jitter=False, retry_kwargs={"max_retries": 1}, bind=True
)
def connects(self, fails):
    note(f"connects-{fails}", self.request.retries)
    if self.request.retries < fails:
        raise ConnectionRefusedError("nobody there")
    return self.request.retries


@program()
def automatic_retries_in_a_worker():
    return {
        "value": get(connects.delay(1)),
        "attempts": notes("connects-1"),
        "given up": raised_text(get, connects.delay(9)),
        "attempts of that": notes("connects-9"),
    }


@app.task(bind=True, max_retries=2)
def keeps(self):
    request = self.request
    if request.retries < 1:
        raise self.retry(countdown=SOON)
    return {
        "headers": {key: value for key, value in (request.headers or {}).items() if key == "tenant"},
        "root": request.root_id,
        "parent": request.parent_id,
        "timelimit": request.timelimit,
        "routing_key": request.delivery_info["routing_key"],
        "priority": request.delivery_info["priority"],
        "shadow": request.shadow,
        "group": request.group,
        "callbacks": len(request.callbacks or ()),
    }


@app.task
def after(value):
    note("after", type(value).__name__)
    return "after"


@program()
def what_a_retry_keeps():
    result = keeps.apply_async(
        headers={"tenant": "acme"},
        root_id="root",
        parent_id="parent",
        time_limit=60,
        soft_time_limit=50,
        link=after.s(),
        task_id="keeps-1",
    )
    kept = get(result)
    (child,) = app.AsyncResult("keeps-1").children or [None]
    return {"kept": kept, "link": get(child), "links run": notes("after")}


class Hooked(Task):
    abstract = True

    def before_start(self, task_id, args, kwargs):
        note("hooks", f"before_start {self.request.retries}")

    def on_success(self, retval, task_id, args, kwargs):
        note("hooks", f"on_success {retval} {task_id} {list(args)} {kwargs}")

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note("hooks", f"on_failure {exc!r} {type(einfo).__name__}")

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        note("hooks", f"on_retry {exc!r} {type(einfo).__name__}")

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        note("hooks", f"after_return {status} {retval!r}")


@app.task(base=Hooked, bind=True, max_retries=1)
def hooked(self, how, extra=None):
    if how == "retry" and not self.request.retries:
        raise self.retry(exc=KeyError("again"), countdown=SOON)
    if how == "fail":
        raise ValueError("no")
    return how


@app.task
def done():
    return True


@program()
def hooks_in_a_worker():
    get(hooked.apply_async(("fine",), {"extra": 1}, task_id="hooked-1"))
    _wait_for_notes("hooks", 3)
    raised_text(get, hooked.apply_async(("fail",), task_id="hooked-2"))
    _wait_for_notes("hooks", 6)
    get(hooked.apply_async(("retry",), task_id="hooked-3"))
    _wait_for_notes("hooks", 11)
    return {"seen": notes("hooks")}


def _wait_for_notes(name, number):
    deadline = time.monotonic() + 5
    while len(notes(name)) < number and time.monotonic() < deadline:
        time.sleep(POLL)


@app.task(bind=True, max_retries=None)
def patient(self):
    if self.request.retries < 4:
        raise self.retry(countdown=SOON)
    return self.request.retries


@program()
def retries_without_a_limit_in_a_worker():
    return {"value": get(patient.delay())}


@app.task(bind=True, max_retries=1)
def does_not_throw(self):
    if self.request.retries:
        note("quiet", "second")
        return "second"
    self.retry(throw=False, countdown=SOON)
    note("quiet", "went on")
    return "first"


@program()
def retries_that_do_not_throw():
    result = does_not_throw.delay()
    get(result)
    _wait_for_notes("quiet", 2)
    return {"seen": notes("quiet")}
