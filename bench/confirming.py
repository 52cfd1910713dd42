"""Publishing on RabbitMQ beside py-amqp itself: `python -m bench.confirming COUNT` prints both as JSON.

Both send the same message to the same queue and wait for the server, in turns: what slows one slows the other.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import amqp

from bench.contenders import Contender
from bench.contest import Ring, answer_of
from bench.finding import Finding
from bench.own import BATCH, LEAST, with_variables
from bench.processes import stop_cleanly_when_told
from bench.rabbitmq_queue import connected, empty
from bench.rabbitmq_server import QUEUE
from bench.turns import TURNS, in_turns, share_of


def confirming(here: Ring, engine: Contender, share: float) -> Iterator[Finding]:
    """Measure confirmed calls, and batches of them, in percent of what py-amqp does with the bare message."""
    argv = [str(here.python(engine)), "-m", "bench.confirming", str(max(LEAST, round(3_000 * share)))]
    found = json.loads(answer_of(argv, here.environment(with_variables(engine)), timeout=180))
    yield Finding(what="py-amqp, confirmed one by one", value=found["bare"], unit="messages/s")
    yield Finding(what="delay(), of that", value=found["single"], unit="%", at_least=80)
    yield Finding(what="py-amqp, confirms pipelined", value=found["bare_batch"], unit="messages/s")
    yield Finding(what=f"batches of {BATCH}, of that", value=found["batch"], unit="%", at_least=80)


def measure(count: int) -> dict[str, float]:
    """Publish in turns."""
    from bench.celeriac_rabbitmq import ours  # the app of the worker; who asks for figures needs none

    empty()
    ours.publish(10)
    with connected() as looking, closing(looking.channel()) as channel:
        message = channel.basic_get(QUEUE, no_ack=True)
    with connected(confirm_publish=True) as one_by_one, connected() as pipelined:
        single, bare = in_turns(ours.publish, _confirmed_by(one_by_one.channel(), message), count // TURNS)
        batch, bare_batch = in_turns(
            lambda many: ours.publish_batch(many, {}), _pipelined_by(pipelined.channel(), message), int(BATCH)
        )
    empty()
    return {
        "bare": statistics.median(bare),
        "single": share_of(single, bare),
        "bare_batch": statistics.median(bare_batch),
        "batch": share_of(batch, bare_batch),
    }


def _copy(message: Any) -> Any:
    properties = dict(message.properties)
    headers = properties.pop("application_headers")
    return amqp.Message(message.body, application_headers=headers, **properties)


def _confirmed_by(channel: Any, message: Any) -> Callable[[int], None]:
    def publish(count: int) -> None:
        for _ in range(count):
            channel.basic_publish(_copy(message), "", QUEUE, mandatory=True)

    return publish


def _pipelined_by(channel: Any, message: Any) -> Callable[[int], None]:
    confirmed = [0]

    def note(tag: int, multiple: bool) -> None:
        confirmed[0] = max(confirmed[0], tag)  # one queue confirms in order

    channel.events["basic_ack"].add(note)
    channel.confirm_select()
    sent = [0]

    def publish(count: int) -> None:
        for _ in range(count):
            channel.basic_publish(_copy(message), "", QUEUE, mandatory=True)
        sent[0] += count
        while confirmed[0] < sent[0]:
            channel.connection.drain_events()

    return publish


if __name__ == "__main__":
    stop_cleanly_when_told()
    json.dump(measure(int(sys.argv[1])), sys.stdout)
