from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable

import pytest

from celeriac.app.context import Context
from celeriac.app.guard import guarded
from celeriac.backends.redis.backend import RedisBackend
from celeriac.backends.redis.line import Line
from celeriac.brokers.redis.options import RedisOptions
from celeriac.brokers.redis.place import read_place
from celeriac.exceptions import SoftTimeLimitExceeded
from celeriac.testing.worlds import a_result
from celeriac.worker import packets
from celeriac.worker.interrupts import Interrupts
from celeriac.worker.orders import Interrupt, send_order


def test_a_wait_that_is_interrupted_leaves_the_answers_of_others_where_they_belong(redis_db, monkeypatch):
    backend = RedisBackend(read_place(redis_db, "result_backend"), RedisOptions())
    backend.store([a_result("first")])
    assert backend.wait(["first"], timeout=60).keys() == {"first"}  # so that there is a connection
    ours, theirs = packets.pair()
    before = signal.getsignal(signal.SIGUSR1)
    interrupts, context = Interrupts(theirs), Context()
    interrupts.listen()
    interrupts.begin(7, context)
    write = Line.write

    def ordering(line: Line, packed: Iterable[bytes]) -> None:
        if context.in_body:
            monkeypatch.setattr(Line, "write", write)
            assert send_order(ours, Interrupt(7, "soft"))
            os.kill(os.getpid(), signal.SIGUSR1)
        write(line, packed)

    monkeypatch.setattr(Line, "write", ordering)
    with pytest.raises(SoftTimeLimitExceeded):
        guarded(context, lambda: backend.wait(["never"], timeout=60), (), {})
    signal.signal(signal.SIGUSR1, before)

    subscriber = backend._subscriber
    line = subscriber._line
    assert line is not None
    until = time.monotonic() + 60
    while line.due or subscriber._sending.locked():
        assert time.monotonic() < until, "an answer is due that does not come"
        time.sleep(0.001)
    backend.store([a_result("second")])
    assert backend.wait(["second"], timeout=60).keys() == {"second"}
    interrupts.close()
    ours.close()
    backend.close()
