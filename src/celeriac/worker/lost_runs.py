"""The next attempt of a run whose process died, for tasks that count that as a retry (`retry_on_worker_lost`)."""

from __future__ import annotations

import logging
from typing import Final

from celeriac.app.application import Celery
from celeriac.app.context import Context
from celeriac.app.records import Recorder
from celeriac.brokers.base import Delivery, ResultMeta, Settlement
from celeriac.exceptions import DecodeError, WorkerLostError
from celeriac.states import RETRY
from celeriac.wire.protocol import read_request

logger: Final = logging.getLogger("celeriac.worker")


class LostRuns:
    """Have lost runs tried again as `Task.retry` does, from the supervisor, where no code of users runs."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def retried(self, delivery: Delivery, died: str) -> Settlement | None:
        """Return what settles a run that is tried again; None when it has no attempt left, or cannot be read here.

        Args:
            died: how its process ended.
        """
        message = delivery.message
        try:
            request = read_request(message, limits=self._app.conf.limits)
        except DecodeError as exc:  # no JSON, which is all that is read in this process
            logger.warning("message %s is not retried: %s", message.task_id, exc)
            return None
        task = self._app.tasks[request.task]
        if task.max_retries is not None and request.retries >= task.max_retries:
            return None
        context = Context.from_request(request, task=task, queue=message.queue)
        builder = self._app.builder
        start = builder.start_of(task.default_retry_delay, None)
        try:
            following = builder.build_retry(context, request.args, request.kwargs, start, {}, announced=False)
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with it, its run has to end
            logger.warning(
                "message %s is not retried, because its next attempt cannot be sent: %s", message.task_id, exc
            )
            return None
        text = f"the process that ran task {request.task}[{request.id}] {died}"
        record = Recorder(self._app.conf).outcome(context, RETRY, WorkerLostError(text), None)
        meta = None
        if record is not None:
            meta = ResultMeta(task_id=message.task_id, state=RETRY, record=record, retries=request.retries)
        return Settlement(delivery=delivery, result=meta, publish=(following,))
