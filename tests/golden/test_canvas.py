"""Canvases sent as programs send them are the messages that Celery makes of the same canvases."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from celeriac import Celery, chain, chord, chunks, group, signature
from celeriac.app.composing import Composing
from celeriac.canvas.plan import Send, plan
from celeriac.message import Message
from tests.golden import vector


class Counting(Composing):
    """Let chords be planned, whose members nobody counts here."""

    def check_joins(self) -> None:
        pass


def made_app() -> Celery:
    app = Celery("proj", broker="redis://localhost/0", set_as_current=False)
    app.canvas = Counting(app)
    for name in ("add", "mul", "xsum", "tsum", "noop", "identity", "errback_old"):
        app.task(name=f"proj.tasks.{name}")(lambda *args, **kwargs: None)
    return app


APP = made_app()
add, mul, xsum, tsum, noop, identity, errback_old = (
    APP.tasks[f"proj.tasks.{name}"] for name in ("add", "mul", "xsum", "tsum", "noop", "identity", "errback_old")
)


def stamped():
    steps = chain(add.s(1, 2), mul.s(3))
    steps.stamp(stamp="v1")
    return steps


# Of each: the canvas, and the options that it is sent with.
CANVASES: dict[str, Callable[[], tuple[Any, dict[str, Any]]]] = {
    "canvas-chain": lambda: (
        chain(add.s(1, 2), add.s(3), mul.s(4)),
        {"task_id": "00000010-0000-4000-8000-000000000010"},
    ),
    "canvas-chain-ends-in-group": lambda: (chain(add.s(1, 1), group(add.s(1), add.s(2))), {}),
    "canvas-chain-group-upgraded": lambda: (
        chain(add.s(1, 1), group(add.s(1), add.s(2)), xsum.s(), mul.s(10)),
        {},
    ),
    "canvas-chain-immutable-options": lambda: (
        chain(add.s(1, 2), noop.si().set(queue="other", priority=5), add.s(1, 1).set(countdown=3)),
        {"link_error": errback_old.s(), "link": mul.s(2)},
    ),
    "canvas-chain-stamped": lambda: (stamped(), {}),
    "canvas-chain-with-map": lambda: (
        chain(add.s(1, 1), xsum.map([[1], [2]]), add.chunks([(1, 2), (3, 4), (5, 6)], 2)),
        {},
    ),
    "canvas-chord": lambda: (chord([add.s(1, 1), add.s(2, 2)], xsum.s()), {}),
    "canvas-chord-chain-body": lambda: (
        chord([add.s(1, 1), add.s(2, 2)], chain(xsum.s(), mul.s(3), mul.s(4))),
        {},
    ),
    "canvas-chord-chain-in-header": lambda: (
        chord([chain(add.s(1, 1), add.s(2)), chord([add.s(3, 3), add.s(4, 4)], xsum.s())], xsum.s()),
        {},
    ),
    "canvas-chord-group-body": lambda: (chord([add.s(1, 1), add.s(2, 2)], group(xsum.s(), tsum.s())), {}),
    "canvas-chord-link-error": lambda: (
        chord([add.s(1, 1), add.s(2, 2)], xsum.s().on_error(errback_old.s())),
        {},
    ),
    "canvas-chord-nested-group-header": lambda: (
        chord([add.s(1, 1), group(add.s(2, 2), add.s(3, 3)), add.s(4, 4)], identity.s()),
        {},
    ),
    "canvas-chunks": lambda: (add.chunks(zip(range(4), range(4), strict=True), 2).group(), {}),
    "canvas-group": lambda: (
        group(add.s(i, i) for i in range(3)),
        {"task_id": "00000011-0000-4000-8000-000000000011"},
    ),
    "canvas-group-of-chords": lambda: (group(chain(add.s(1, 1), group(add.s(2), add.s(3)))), {}),
    "canvas-nested-group": lambda: (
        group(add.s(1, 1), group(add.s(2, 2), add.s(3, 3)), chain(add.s(4, 4), mul.s(2))),
        {},
    ),
    "canvas-map": lambda: (xsum.map([[1, 2], [3]]), {}),
    "canvas-starmap": lambda: (add.starmap([(1, 2), (3, 4)]), {}),
    "canvas-chunks-task": lambda: (
        signature("celery.chunks", kwargs={"task": add.s(), "it": [[0, 0], [1, 1], [2, 2]], "n": 2}, app=APP),
        {},
    ),
}

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest.mark.parametrize("name", CANVASES)
def test_a_canvas_is_sent_as_the_same_messages(name: str) -> None:
    captured = vector.load(name)
    theirs = [json.loads(each["redis_raw"]) for each in captured.get("messages", [captured])]
    whole, options = CANVASES[name]()

    ours = sent(whole, options)

    assert normal([message.body.decode() for message in ours]) == normal(
        [base64.b64decode(each["body"]).decode() for each in theirs]
    )
    assert normal([_without_origin(json.loads(message.headers)) for message in ours]) == normal(
        [_without_origin(each["headers"]) for each in theirs]
    )


def test_all_canvases_that_celery_sent_are_compared() -> None:
    captured = {name.partition("#")[0] for name in vector.names("canvas-")}

    left = captured - CANVASES.keys()

    # Not messages; what other engines add to a chord; and what older versions sent, which is read (below).
    assert left == {
        "canvas-signatures-json",
        "canvas-chord-unlock",
        "canvas-chain-group-upgraded-5.6",
        "canvas-chord-chain-body-5.6",
    }


def signatures() -> dict[str, Any]:
    linked = add.s(1, 1)
    linked.link(mul.s(2))
    linked.link_error(errback_old.s())
    two = group(add.s(1, 1), add.s(2, 2))
    one = chord([add.s(1, 1)], xsum.s())
    return {
        "add.s(2, 3)": add.s(2, 3),
        "add.si(2, y=3)": add.si(2, y=3),
        "add.s(2).set(countdown=10, queue='q', priority=5)": add.s(2).set(countdown=10, queue="q", priority=5),
        "add.signature((2, 3), link=mul.s(2), link_error=errback_old.s())": add.signature(
            (2, 3), link=mul.s(2), link_error=errback_old.s()
        ),
        "add.s(1, 1) with link() and link_error()": linked,
        "chain(add.s(1, 1), add.s(2))": chain(add.s(1, 1), add.s(2)),
        "group(add.s(1, 1), add.s(2, 2))": two,
        "group with options": group([add.s(1, 1)], countdown=3),
        "chord([add.s(1, 1)], xsum.s())": one,
        "chord(group(add.s(1, 1)), xsum.s())": chord(group(add.s(1, 1)), xsum.s()),
        "group(add.s(1,1), add.s(2,2)) | xsum.s()": two | xsum.s(),
        "chain(add.s(1,1), group(add.s(1), add.s(2)), xsum.s())": chain(
            add.s(1, 1), group(add.s(1), add.s(2)), xsum.s()
        ),
        "chord | task": one | mul.s(2),
        "chord | task | group": one | mul.s(2) | group(add.s(1), add.s(2)),
        "xsum.map([[1, 2]])": xsum.map([[1, 2]]),
        "add.starmap([(1, 2)])": add.starmap([(1, 2)]),
        "add.chunks([(1, 2), (3, 4)], 1)": add.chunks([(1, 2), (3, 4)], 1),
        "group of one | task": group(add.s(1, 1)) | mul.s(2),
        "task | group of one": add.s(1, 1) | group(mul.s(2)),
        "chain of chain": chain(chain(add.s(1, 1), add.s(2)), add.s(3)),
        "empty group": group(),
        "chain(group, group)": chain(two, group(xsum.s(), tsum.s())),
        "chain(group, task, group, task)": chain(two, xsum.s(), group(add.s(1), add.s(2)), xsum.s()),
    }


@pytest.mark.parametrize("name", vector.load("canvas-signatures-json")["signatures"])
def test_a_signature_is_written_as_celery_writes_it(name: str) -> None:
    theirs = vector.load("canvas-signatures-json")["signatures"][name]

    ours = json.loads(json.dumps(signatures()[name]))

    assert ours == theirs
    assert json.loads(json.dumps(signature(theirs, app=APP))) == theirs


@pytest.mark.parametrize("name", [name for name in vector.names("canvas-") if not name.startswith("canvas-signatures")])
def test_what_any_version_sent_is_read_as_signatures(name: str) -> None:
    [_, _, embed] = vector.load(name)["decoded"]["body"]
    carried = [*(embed["chain"] or ()), *([embed["chord"]] if embed["chord"] else ())]

    for each in carried:
        read = signature(each, app=APP)

        assert json.loads(json.dumps(read)) == each
        assert list(plan(read, (1,)))


def sent(whole: Any, options: dict[str, Any]) -> list[Message]:
    steps = plan(whole.group() if isinstance(whole, chunks) else whole, (), {}, options)
    return [APP.builder.encode_planned(step, None, []) for step in steps if isinstance(step, Send)]


def normal(texts: list[Any]) -> list[str]:
    """Number the ids of all texts in the order of their appearance."""
    seen: dict[str, str] = {}
    return [
        ID.sub(
            lambda found: seen.setdefault(found.group(), f"id-{len(seen)}"),
            text if isinstance(text, str) else json.dumps(text),
        )
        for text in texts
    ]


def _without_origin(headers: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in headers.items() if name != "origin"}


def test_in_protocol_1_a_chain_is_callbacks_of_callbacks() -> None:
    theirs = vector.load("task-v1-chain")["decoded"]["body"]
    APP.conf.task_protocol = 1
    try:
        steps = plan(chain(add.s(1, 2), mul.s(3), mul.s(4)), carries_chain=False)
        [message] = [APP.builder.encode_planned(step, None, []) for step in steps if isinstance(step, Send)]
    finally:
        APP.conf.task_protocol = 2

    assert normal([json.loads(message.body)]) == normal([theirs])
