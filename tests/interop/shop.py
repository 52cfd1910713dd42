"""The app of every process under test. Each kind of process gets a copy in which `celeriac` is its own package's name.

Runs in the environments of others, too, so it imports nothing but that package.
"""

from __future__ import annotations

import importlib
import json
import os
import time
from pathlib import Path
from typing import Any

from celeriac import Celery

PACKAGE = Celery.__module__.partition(".")[0]
GATE_TIMEOUT = 60.0

app = Celery("shop", broker=os.environ["INTEROP_BROKER"], backend=os.environ["INTEROP_RESULTS"])
settings = json.loads(os.environ["INTEROP_SETTINGS"])
shop_queues = settings.pop("shop_queues", None)
app.conf.update(settings)


def queues(kind: str) -> list[Any]:
    """Return queues of every sort, as each package has them; where `kind` is "quorum", some are quorum queues.

    Then Celery binds every exchange but the direct ones to the end of its ladder of delays, also those of headers, to
    which that means that all messages fit.
    """
    objects = importlib.import_module("kombu" if PACKAGE == "celery" else PACKAGE)
    for_all = importlib.import_module("kombu.common" if PACKAGE == "celery" else PACKAGE).Broadcast("everybody")
    exchange, queue, binding = objects.Exchange, objects.Queue, objects.binding
    logs = exchange("logs", type="topic")
    arguments = {"x-queue-type": "quorum"} if kind == "quorum" else None
    pdf = queue("pdf", exchange("files", type="headers"), binding_arguments={"kind": "pdf", "x-match": "all"})
    return [
        queue("celery", exchange("celery"), "celery"),
        queue("quorum", exchange("quorum"), "quorum", queue_arguments=arguments),
        queue("urgent", exchange("urgent"), "urgent", queue_arguments={"x-max-priority": 9}),
        queue("urgent too", exchange("urgent too"), "urgent too", max_priority=5),
        queue("short", exchange("short"), "short", expires=600, message_ttl=300.0, max_length=1000),
        queue("errors", logs, "#.error", queue_arguments=arguments, alias="faults"),
        queue("archive", logs, "shop.*"),
        queue("several", [binding(logs, "a.b.*"), binding(exchange("money"), "paid")]),
        *([] if kind == "quorum" else [pdf]),
        queue("fan", exchange("fan", type="fanout"), "fan"),
        queue("passing", exchange("passing", durable=False), "passing", durable=False, max_length_bytes=10**6),
        for_all,
    ]


if shop_queues is not None:
    app.conf.task_queues = queues(shop_queues)


class OutOfStock(Exception):
    def __init__(self, article: str, left: int = 0) -> None:
        super().__init__(article, left)


def note(*words: object) -> None:
    """Add a line to the notes, which all processes share. One write, so that lines never mix."""
    descriptor = os.open("notes", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(descriptor)


@app.task
def add(x: int, y: int) -> int:
    return x + y


@app.task
def echo(*args: Any, **kwargs: Any) -> Any:
    return [args, kwargs]


@app.task
def by() -> str:
    return PACKAGE


@app.task(bind=True)
def request(self: Any) -> dict[str, Any]:
    """Tell what the message said, as bodies see it."""
    seen = self.request
    return {
        "by": PACKAGE,
        "id": seen.id,
        "root_id": seen.root_id,
        "parent_id": seen.parent_id,
        "eta": seen.eta,
        "expires": seen.expires,
        "retries": seen.retries,
        "timelimit": seen.timelimit,
        "argsrepr": seen.argsrepr,
        "headers": seen.headers,
        "ignore_result": seen.ignore_result,
        "redelivered": seen.delivery_info.get("redelivered"),
        "routing_key": seen.delivery_info.get("routing_key"),
        "priority": seen.delivery_info.get("priority"),
        "shadow": seen.shadow,
    }


@app.task
def noted(name: str, seconds: float = 0.0) -> str:
    note("ran", name, PACKAGE, time.time())
    time.sleep(seconds)
    return PACKAGE


@app.task(acks_late=True)
def gated(name: str, gate: str = "gate") -> str:
    note("ran", name, PACKAGE, time.time())
    deadline = time.monotonic() + GATE_TIMEOUT
    while not Path(gate).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"nobody opened the gate {gate}")
        time.sleep(0.005)
    return PACKAGE


@app.task(bind=True)
def retrying(self: Any, times: int, countdown: float = 0.2) -> list[Any]:
    note("ran", self.request.id, PACKAGE, time.time())
    if self.request.retries < times:
        raise self.retry(countdown=countdown, max_retries=times)
    return [self.request.retries, self.request.headers, PACKAGE]


@app.task
def fail(*args: Any) -> None:
    raise ValueError(*args)


@app.task
def sell(article: str) -> None:
    raise OutOfStock(article, left=3)


@app.task(ignore_result=True)
def silent(name: str) -> int:
    note("ran", name, PACKAGE, time.time())
    return 1


@app.task
def callback(value: Any, name: str = "callback") -> Any:
    note("called", name, value, PACKAGE)
    return value


@app.task
def body(values: Any, name: str = "body") -> Any:
    note("body", name, PACKAGE)
    return values


@app.task(acks_late=True)
def member(value: Any, name: str, gate: str | None = None) -> Any:
    """Be a member of a chord, which may wait until the others have ended."""
    if gate is not None:
        gated.run(name, gate)
    note("member", name, PACKAGE)
    if value == "fail":
        raise ValueError(name)
    return value


@app.task(bind=True)
def member_and_more(self: Any, value: int) -> int:
    self.add_to_chord(add.s(value, 100))
    return value


@app.task
def errback(request: Any, exc: Any, traceback: Any) -> None:
    note("failed", request.id, type(exc).__name__, PACKAGE)


@app.task
def errback_by_id(task_id: str) -> None:
    note("failed", task_id, "by-id", PACKAGE)


@app.task(acks_late=True)
def late(name: str) -> str:
    note("ran", name, PACKAGE, time.time())
    return PACKAGE


if PACKAGE == "celery":

    @app.task
    def old(name: str) -> str:
        """Be known to Celery's workers alone, as a task is that has been deleted since."""
        note("ran", name, PACKAGE, time.time())
        return PACKAGE
