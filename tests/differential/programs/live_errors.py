from __future__ import annotations

import sys
import types

from observing import PATIENCE, POLL, differs, get, program, raised, raised_text
from shop import app

from celeriac import Task
from celeriac.exceptions import Ignore, Reject


class Refused(Exception):
    def __init__(self, code, reason):
        super().__init__(code, reason)
        self.code = code


class Quiet(Exception):
    """One without arguments."""


class Keyworded(Exception):
    def __init__(self, *, code):
        self.code = code
        super().__init__(f"code {code}")


def seen(result):
    """Describe the end of a call."""
    raised_one = None
    try:
        get(result)
    except Exception as exc:
        raised_one = exc
    return [result.state, type(raised_one).__name__, str(raised_one), type(result.result).__name__]


@app.task
def fail(kind, *args):
    raise {
        "key": KeyError,
        "value": ValueError,
        "os": OSError,
        "zero": ZeroDivisionError,
        "refused": Refused,
        "quiet": Quiet,
    }[kind](*args)


@app.task
def fail_deeply(depth):
    if depth:
        return fail_deeply.run(depth - 1)
    raise RuntimeError("at the bottom")


@app.task
def fail_in_a_chain():
    try:
        {}["missing"]
    except KeyError as exc:
        raise Refused(402, "no money") from exc


@app.task
def fail_locally():
    class Local(Exception):
        pass

    raise Local("of a function")


@app.task
def fail_with_keyword():
    raise Keyworded(code=5)


@app.task
def fail_oddly():
    raise ValueError({"a": (1, object())}, b"bytes")


@program()
def errors_of_python():
    return {
        "key": seen(fail.delay("key", "gone")),
        "value": seen(fail.delay("value", "one", 2)),
        "zero": seen(fail.delay("zero")),
        "os": seen(fail.delay("os", 2, "no such file")),
    }


@program()
def errors_of_ones_own():
    result = fail.delay("refused", 402, "no money")
    error = _caught(result)
    return {
        "refused": seen(result),
        "is one": isinstance(error, Refused),
        "args": list(error.args),
        "code": error.code,
        "quiet": seen(fail.delay("quiet")),
    }


def _caught(result):
    try:
        get(result)
    except Exception as exc:
        return exc
    return None


@program()
def tracebacks_of_workers():
    result = fail_deeply.delay(3)
    error = _caught(result)
    lines = result.traceback.strip().splitlines()
    return {
        "raised": [type(error).__name__, str(error)],
        "first": lines[0],
        "last": lines[-1],
        "frames": sum("in fail_deeply" in line for line in lines),
        "chained": ["KeyError" in _traceback(fail_in_a_chain), "direct cause" in _traceback(fail_in_a_chain)],
    }


def _traceback(task):
    result = task.delay()
    _caught(result)
    return result.traceback


@program()
def quiet_results_of_failures():
    result = fail.delay("key", "gone")
    quiet = result.get(timeout=PATIENCE, interval=POLL, propagate=False)
    again = app.AsyncResult(result.id)
    return {
        "quiet": [type(quiet).__name__, list(quiet.args)],
        "state": [again.state, again.ready(), again.failed(), again.successful()],
        "result": [type(again.result).__name__, type(again.info).__name__],
        "maybe_throw": raised_text(again.maybe_throw),
        "again": raised_text(again.get, timeout=1),
    }


@program()
def errors_that_cannot_be_rebuilt():
    local, keyword = fail_locally.delay(), fail_with_keyword.delay()
    return {
        "local": [raised(get, local) != "nothing", local.state, "of a function" in str(local.result)],
        "keyword": [raised(get, keyword) != "nothing", keyword.state, "code 5" in str(keyword.result)],
    }


@program()
def errors_with_odd_arguments():
    result = fail_oddly.delay()
    error = _caught(result)
    return {"state": result.state, "class": type(error).__name__, "number": len(error.args)}


@app.task
def gives_back(kind):
    return {"object": object(), "set": {1}, "generator": (n for n in range(3)), "class": Refused}[kind]


@program()
def values_that_cannot_be_carried():
    results = {kind: gives_back.delay(kind) for kind in ("object", "generator", "class")}
    return {kind: [raised(get, result), result.state] for kind, result in results.items()}


@app.task(bind=True)
def ignores(self, first):
    self.update_state(state="PROGRESS", meta={"first": first})
    raise Ignore


@app.task(bind=True, acks_late=True)
def rejects(self, requeue=False):
    raise Reject("not for me", requeue=requeue)


@program()
def runs_that_ignore_themselves():
    result = ignores.delay(1)
    barrier = fail.delay("quiet")
    _caught(barrier)
    _wait_for(lambda: result.state == "PROGRESS")
    return {"state": result.state, "info": result.info}


@program()
def runs_that_reject_themselves():
    result = rejects.delay()
    return {"state": [raised(result.get, timeout=PATIENCE, interval=POLL), result.state, type(result.result).__name__]}


def _wait_for(claim):
    import time

    deadline = time.monotonic() + PATIENCE
    while not claim() and time.monotonic() < deadline:
        time.sleep(POLL)


@app.task(throws=(KeyError,))
def expected():
    raise KeyError("expected")


@program()
def expected_errors_in_a_worker():
    return {"seen": seen(expected.delay())}


@app.task
def takes_two(x, y):
    return [x, y]


@program()
def wrong_arguments_that_nobody_checked():
    few = app.send_task("live_errors.takes_two", (1,))
    many = app.send_task("live_errors.takes_two", (1, 2, 3))
    right = app.send_task("live_errors.takes_two", (1,), {"y": 2})
    return {
        "few": [raised(get, few), few.state],
        "many": [raised(get, many), many.state],
        "right": get(right),
    }


@app.task(ignore_result=True)
def quiet_failure():
    raise KeyError("nobody sees")


@app.task(ignore_result=True, store_errors_even_if_ignored=True)
def loud_failure():
    raise KeyError("somebody sees")


@app.task(ignore_result=True)
def quiet_success():
    return 1


@program()
def results_that_nobody_wants():
    loud = loud_failure.delay()
    _wait_for(lambda: app.AsyncResult(loud.id).state == "FAILURE")
    wanted = quiet_success.apply_async(ignore_result=False)
    value = get(wanted)
    quiet, silent = quiet_failure.delay(), quiet_success.delay()
    unwanted = takes_two.apply_async((1, 2), ignore_result=True)
    _caught(fail.delay("quiet")), _caught(fail.delay("quiet"))
    return {
        "ignored": [quiet.ignored, loud.ignored, wanted.ignored, unwanted.ignored],
        "loud": [app.AsyncResult(loud.id).state, type(app.AsyncResult(loud.id).result).__name__],
        "wanted": value,
        "others": [app.AsyncResult(one.id).state for one in (quiet, silent, unwanted)],
    }


class Guarded(Task):
    abstract = True

    def before_start(self, task_id, args, kwargs):
        if args[0] < 0:
            raise PermissionError("negative")


@app.task(base=Guarded)
def guarded(x):
    return x


@program()
def before_start_may_refuse_in_a_worker():
    return {"refused": seen(guarded.delay(-1)), "let in": get(guarded.delay(1))}


@program(
    differs("class", celery="FarAway", ours="RemoteError", row="an exception whose class the caller has not imported"),
)
def exceptions_of_modules_that_only_the_worker_has():
    result = app.send_task("live_errors.fail_elsewhere")
    sys.modules.pop("only_here", None)
    error = _caught(result)
    return {
        "state": result.state,
        "class": type(error).__name__,
        "text": "far away" in str(error),
        "is Exception": isinstance(error, Exception),
    }


@app.task
def fail_elsewhere():
    module = types.ModuleType("only_here")
    sys.modules["only_here"] = module
    exec("class FarAway(Exception): pass", module.__dict__)
    raise module.FarAway("far away")
