from __future__ import annotations

from typing import Any
from uuid import uuid4

from celeriac import Celery
from celeriac.brokers.base import Delivery
from celeriac.exceptions import EncodeError
from celeriac.wire.protocol import Call, write_message
from celeriac.worker.lost_runs import LostRuns


def test_a_next_attempt_that_cannot_be_sent_leaves_the_run_to_fail(monkeypatch, caplog):
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise EncodeError("an argument cannot be carried")

    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        app.task(name="tally", retry_on_worker_lost=True)(lambda: None)
        call = Call(task="tally", id="one", args=(), kwargs={}, queue="q")
        message = write_message(call, origin="1@here")
        delivery = Delivery(tag=1, owner=1, message=message)
        assert LostRuns(app).retried(delivery, "died") is not None
        monkeypatch.setattr(type(app.builder), "build_retry", refuse)

        assert LostRuns(app).retried(delivery, "died") is None

    assert "message one is not retried" in caplog.text
