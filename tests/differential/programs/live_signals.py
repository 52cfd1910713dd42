from __future__ import annotations

from observing import get, note, notes, program, raised
from shop import app

from celeriac import signals


@app.task(bind=True, max_retries=1)
def work(self, how):
    note(self.request.id, "body")
    if how == "fail":
        raise KeyError("no")
    if how == "retry" and not self.request.retries:
        raise self.retry(exc=KeyError("again"), countdown=0.4)
    return how


@signals.task_prerun.connect(sender=work)
def prerun(sender=None, task_id=None, task=None, args=None, kwargs=None, **_):
    note(task_id, "prerun", sender.name, task is sender or task.name, list(args), kwargs)


@signals.task_postrun.connect(sender=work)
def postrun(sender=None, task_id=None, retval=None, state=None, **_):
    note(task_id, "postrun", repr(retval) if state != "RETRY" else type(retval).__name__, state)


@signals.task_success.connect(sender=work)
def success(sender=None, result=None, **_):
    note(sender.request.id, "success", result)


@signals.task_failure.connect(sender=work)
def failure(sender=None, task_id=None, exception=None, args=None, einfo=None, **_):
    note(task_id, "failure", repr(exception), list(args), type(einfo).__name__)


@signals.task_retry.connect(sender=work)
def retry(sender=None, request=None, reason=None, einfo=None, **_):
    note(request.id, "retry", type(reason).__name__, repr(reason.exc), type(einfo).__name__)


@program()
def signals_of_a_success_in_a_worker():
    get(work.apply_async(("fine",), task_id="signalled-1"))
    return {"seen": notes("signalled-1", 4)}


@program()
def signals_of_a_failure_in_a_worker():
    raised(get, work.apply_async(("fail",), task_id="signalled-2"))
    return {"seen": notes("signalled-2", 4)}


@program()
def signals_of_a_retry_in_a_worker():
    get(work.apply_async(("retry",), task_id="signalled-3"))
    return {"seen": notes("signalled-3", 8)}


@signals.before_task_publish.connect
def stamp(sender=None, headers=None, **_):
    if sender == "live_signals.stamped":
        headers["stamped_by"] = "a receiver"


@app.task(bind=True)
def stamped(self):
    return (self.request.headers or {}).get("stamped_by") or getattr(self.request, "stamped_by", None)


@program()
def receivers_may_add_headers():
    return {"seen": get(stamped.delay())}
