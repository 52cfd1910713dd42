"""What the README of such a project has people try in a shell."""

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import celery
from celery import chain, group, states
from celery.result import AsyncResult
from proj.celery import app
from proj.tasks import add, fails, flaky, invoice, mul, report, xsum

assert celery.VERSION >= (5, 2), celery.VERSION
assert celery.__version__.startswith("5."), celery.__version__

result = add.delay(4, 4)
assert result.get(timeout=20) == 8
assert (result.state, result.successful(), result.ready()) == (states.SUCCESS, True, True)
assert AsyncResult(result.id, app=app).result == 8

assert add.apply_async((2, 2), countdown=0.2).get(timeout=20) == 4
assert add.apply_async(args=[1], kwargs={"y": 2}, expires=60).get(timeout=20) == 3
assert app.send_task("proj.tasks.mul", args=[6, 7]).get(timeout=20) == 42

attempts = flaky.delay(2).get(timeout=20)
assert attempts["attempts"] == 3, attempts

failed = fails.delay("no such customer")
try:
    failed.get(timeout=20)
except ValueError as error:
    assert str(error) == "no such customer"
else:
    raise AssertionError("a failure was not raised")
assert failed.state == "FAILURE" and "no such customer" in failed.traceback
assert repr(failed.get(propagate=False)) == "ValueError('no such customer')"

due = datetime(2030, 1, 1, tzinfo=timezone.utc)
answer = invoice.delay(Decimal("12.50"), due).get(timeout=20)
assert answer == {"amount": Decimal("25.00"), "due": due}, answer

assert chain(add.s(4, 4) | mul.s(8)).delay().get(timeout=20) == 64
assert (add.s(2) | mul.s(10)).delay(3).get(timeout=20) == 50
assert group(add.s(i, i) for i in range(5))().get(timeout=20) == [0, 2, 4, 6, 8]
assert xsum.s([1, 2, 3]).apply_async().get(timeout=20) == 6
assert add.signature((1,), options={"queue": "celery"}).clone(args=(5,)).args == (5, 1)

later = add.apply_async((1, 1), eta=datetime.now(timezone.utc) + timedelta(hours=1))
later.revoke()
assert later.state in (states.PENDING, states.REVOKED), later.state

progress = report.delay()
for _ in range(400):
    if progress.state == "PROGRESS":
        break
    import time

    time.sleep(0.02)
assert progress.state == "PROGRESS" and progress.info == {"done": 50}, (progress.state, progress.info)
assert sorted(name for name in app.tasks if name.startswith("proj.")) == [
    f"proj.tasks.{name}" for name in ("add", "fails", "flaky", "invoice", "mul", "report", "xsum")
]
