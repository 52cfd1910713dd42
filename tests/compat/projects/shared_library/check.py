"""The tests of a library, with the app of whoever uses it."""

from celery import Celery, chain, current_app
from celery.app import app_or_default
from celery.canvas import Signature
from shop import app

assert app_or_default() is app and current_app.main == "shop"
app.finalize()
from billing.tasks import charge, refund, send_receipt, total  # noqa: E402 - as late as in a view

assert charge.name == "billing.tasks.charge" and refund.name == "billing.refund"
assert charge.app is app and charge in list(app.tasks.values())
assert charge(5)["charged"] == 5

answer = charge.delay(12).get(timeout=20)
assert answer == {"charged": 12, "by": "shop", "task": "billing.tasks.charge"}, answer
assert refund.delay(7).get(timeout=20) == -7
assert total.delay(1, 2, tip=3).get(timeout=20) == 6
assert send_receipt.delay("ada@example.org").id
assert app.send_task("shop.jobs.close_day").get(timeout=20) == "closed"
try:
    charge.delay(-1).get(timeout=20)
except ValueError as error:
    assert error.args == ("cannot charge -1",)
else:
    raise AssertionError("a negative amount was charged")

with_tip = total.s(1, 2, tip=1)
assert (
    isinstance(with_tip, Signature)
    and with_tip.task == "billing.tasks.total"
    and dict(with_tip)["kwargs"] == {"tip": 1}
)
assert Signature.from_dict(dict(with_tip)).delay().get(timeout=20) == 4
assert chain(total.s(1), total.s(2), total.si(9)).apply_async().get(timeout=20) == 9

second = Celery("second", broker="memory://", set_as_current=False)
second.conf.task_always_eager = True
assert second.tasks["billing.tasks.total"].apply((1, 1)).get() == 2
assert current_app.main == "shop"
