from __future__ import annotations

import functools
from uuid import uuid4

from celeriac import Celery
from celeriac.wire.results import read_record
from celeriac.worker.execute import Executor
from celeriac.worker.runs import Run


async def twice(number):
    return 2 * number


@functools.wraps(twice)
def wrapped(number):
    return twice(number)


def test_a_coroutine_that_a_plain_wrapper_returns_is_awaited():
    app = Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False)
    task = app.task(name="shop.twice")(wrapped)
    executor = Executor(app, "w@here")

    outcome = executor.execute(Run(1, app.sender.build(task, (21,), {}), redelivered=False, crashes=0))

    executor.close()
    assert outcome.state == "SUCCESS"
    assert outcome.record is not None
    assert read_record(outcome.record).result == 42
