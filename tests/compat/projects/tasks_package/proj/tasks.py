from datetime import datetime, timezone
from decimal import Decimal

from celery.exceptions import Ignore
from celery.utils.log import get_task_logger

from .celery import app

logger = get_task_logger(__name__)


@app.task
def add(x, y):
    logger.info("Adding %s + %s", x, y)
    return x + y


@app.task
def mul(x, y):
    return x * y


@app.task
def xsum(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def flaky(self, fail_times):
    try:
        if self.request.retries < fail_times:
            raise ConnectionError("upstream is down")
    except ConnectionError as exc:
        raise self.retry(exc=exc, countdown=0)
    return {"attempts": self.request.retries + 1, "id": self.request.id}


@app.task(bind=True)
def report(self):
    self.update_state(state="PROGRESS", meta={"done": 50})
    raise Ignore()


@app.task
def fails(what):
    raise ValueError(what)


@app.task(serializer="json")
def invoice(amount, due):
    assert isinstance(amount, Decimal) and isinstance(due, datetime), (amount, due)
    return {"amount": amount * 2, "due": due.astimezone(timezone.utc)}
