"""Publishing on Redis beside the driver itself: `python -m bench.pushing COUNT` prints both as JSON.

A machine that takes long to wake a sleeping process has few calls per second, whoever makes them; so `delay()` is put
beside a bare LPUSH of the same envelope, too.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Iterator

import redis

from bench.contenders import Contender
from bench.contest import Ring, answer_of
from bench.finding import Finding
from bench.own import LEAST, with_variables
from bench.processes import stop_cleanly_when_told
from bench.redis_server import MESSAGES, url
from bench.turns import TURNS, in_turns, share_of


def pushing(here: Ring, engine: Contender, share: float) -> Iterator[Finding]:
    """Measure single calls, in percent of what redis-py does with the bare envelope."""
    argv = [str(here.python(engine)), "-m", "bench.pushing", str(max(LEAST, round(20_000 * share)))]
    found = json.loads(answer_of(argv, here.environment(with_variables(engine)), timeout=180))
    yield Finding(what="redis-py, LPUSH one by one", value=found["bare"], unit="messages/s")
    yield Finding(what="delay(), of that", value=found["single"], unit="%", at_least=74)


def measure(count: int) -> dict[str, float]:
    """Publish in turns."""
    from bench.celeriac_redis import app, ours  # the app of the worker; who asks for figures needs none

    queue = app.conf.task_default_queue
    with redis.Redis.from_url(url(MESSAGES)) as client:
        ours.publish(1)
        envelope = client.lpop(queue)

        def bare(many: int) -> None:
            for _ in range(many):
                client.lpush(queue, envelope)

        single, alone = in_turns(ours.publish, bare, count // TURNS)
        client.delete(queue)
    return {"bare": statistics.median(alone), "single": share_of(single, alone)}


if __name__ == "__main__":
    stop_cleanly_when_told()
    json.dump(measure(int(sys.argv[1])), sys.stdout)
