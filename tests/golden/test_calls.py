"""Calls made as programs make them are the messages that Celery makes of the same calls."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from celeriac import Celery
from celeriac.app.context import Context
from celeriac.app.follow import after_failure, after_success
from celeriac.message import Message
from celeriac.wire.envelope import write_envelope
from tests.golden import vector


@pytest.fixture
def app():
    app = Celery(set_as_current=False)

    for name in ("add", "mul", "noop", "errback_new", "fail"):
        app.task(name=f"proj.tasks.{name}")(lambda *args, **kwargs: None)
    app.task(name="proj.tasks.errback_old")(lambda task_id: None)
    return app


def calls(app: Celery) -> dict[str, tuple[tuple, dict[str, Any]]]:
    mul, noop, new, old = (app.tasks[f"proj.tasks.{name}"] for name in ("mul", "noop", "errback_new", "errback_old"))
    stamps: dict[str, Any] = {"stamped_headers": ["mtask_id", "tags"], "mtask_id": "m-1", "tags": ["a", "b"]}
    return {
        "task-link": ((1, 2), {"link": [mul.s(10), noop.si(1, a=2)], "link_error": [new.s(), old.s()]}),
        "task-options": (
            (1, 2),
            {
                "shadow": "my.shadow",
                "headers": {"x-tenant": "t1", "nested": {"a": 1}},
                "ignore_result": True,
                "queue": "other",
                "delivery_mode": "transient",
                "argsrepr": "(<hidden>)",
                "kwargsrepr": "{<hidden>}",
            },
        ),
        "task-stamped": ((1, 2), {"link": mul.s(2).set(**stamps), **stamps}),
        "task-timelimit": ((1, 2), {"time_limit": 30, "soft_time_limit": 20}),
    }


NAMES = ["task-link", "task-options", "task-stamped", "task-timelimit"]

# Given as options, Celery repeats them among the properties, where nobody looks for them.
_REPEATED = ("argsrepr", "kwargsrepr")


@pytest.mark.parametrize("name", NAMES)
def test_apply_async_makes_the_same_message(app: Celery, name: str) -> None:
    args, options = calls(app)[name]
    captured = json.loads(vector.load(name)["redis_raw"])
    headers, properties = captured["headers"], captured["properties"]

    said: Any = {**options, "origin": headers["origin"]}
    message = app.builder.build(app.tasks["proj.tasks.add"], args, {}, said, task_id=headers["id"])

    assert message.body == base64.b64decode(captured["body"])
    assert list(json.loads(message.headers).items()) == list(headers.items())
    assert envelope(message, properties)["properties"] == {
        key: value for key, value in properties.items() if key not in _REPEATED
    }


@pytest.mark.parametrize("name", ["worker-sent-callback", "worker-sent-errback"])
def test_what_follows_a_run_is_the_same_message(app: Celery, name: str) -> None:
    first, then = (vector.load(f"{name}#{index}")["decoded"] for index in (0, 1))
    embed = first["body"][2]
    context = Context(
        id=first["headers"]["id"],
        root_id=first["headers"]["root_id"],
        task=first["headers"]["task"],
        called_directly=False,
        callbacks=embed["callbacks"],
        errbacks=embed["errbacks"],
    )

    if name == "worker-sent-callback":
        [message] = after_success(context, 3, sender=app.sender)
    else:
        [message], _ = after_failure(context, ValueError("boom"), app=app)

    ours, theirs = json.loads(message.headers), then["headers"]
    made_there = {"id", "origin"} | ({"group"} if theirs["group"] else set())
    assert {key: ours[key] for key in ours if key not in made_there} == {
        key: theirs[key] for key in theirs if key not in made_there
    }
    assert bool(ours["group"]) == bool(theirs["group"])
    assert json.loads(message.body) == then["body"]


def envelope(message: Message, properties: dict[str, Any]) -> dict[str, Any]:
    return json.loads(
        write_envelope(
            message,
            delivery_tag=properties["delivery_tag"],
            reply_to=properties["reply_to"],
            **properties["delivery_info"],
        )
    )
