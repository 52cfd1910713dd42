"""Wait at the start of a node for a broker that is not there yet, one line per attempt.

In compositions of containers a worker is often up before its broker. A broker that is a file of this machine is not
waited for: nobody else will put right what is wrong with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import random
import time
from typing import Final

import msgspec

from celeriac.app.config import Settings
from celeriac.brokers.base import Broker, Consumer
from celeriac.exceptions import OperationalError

logger: Final = logging.getLogger("celeriac.worker")

_ATTEMPT_WITHIN: Final = 10.0
_FIRST_WAIT: Final = 0.5
_LONGEST_WAIT: Final = 5.0


class Patience(msgspec.Struct, frozen=True):
    """Say how long to wait.

    Attributes:
        attempts: after the first one; None: without end.
    """

    attempts: int | None = None

    @classmethod
    def of(cls, conf: Settings) -> Patience:
        """Read `broker_connection_retry_on_startup` and `broker_connection_max_retries`."""
        again = conf.broker_connection_retry_on_startup
        if not (conf.broker_connection_retry if again is None else again):
            return cls(0)
        return cls(conf.broker_connection_max_retries or None)


def open_broker(broker: Broker, patience: Patience) -> None:
    """Open a broker; where a server answers for it, try again until that does.

    Raises:
        OperationalError: it cannot be used, and waiting is no use or has been long enough.
    """
    for attempt in itertools.count():
        try:
            broker.open(deadline_at=time.monotonic() + _ATTEMPT_WITHIN)
        except OperationalError as error:
            wait = _wait_after(error, attempt, broker, patience)
        else:
            return
        time.sleep(wait)


async def open_consumer(consumer: Consumer, broker: Broker, patience: Patience, stop: asyncio.Event) -> bool:
    """Register a node, as patiently as its broker was opened; return False when it was to stop before that.

    Raises:
        OperationalError: the broker cannot be used, and waiting is no use or has been long enough.
    """
    attempts = itertools.count()
    while not stop.is_set():
        try:
            await consumer.open()
        except OperationalError as error:
            wait = _wait_after(error, next(attempts), broker, patience)
        else:
            return True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), wait)
    return False


def _wait_after(error: OperationalError, attempt: int, broker: Broker, patience: Patience) -> float:
    """Say that an attempt, counted from 0, has failed, and return the seconds until the next one.

    Raises:
        OperationalError: `error`, when there is to be none.
    """
    if not broker.capabilities.has_server or attempt == patience.attempts:
        raise error
    wait: float = min(_FIRST_WAIT * 2 ** min(attempt, 8), _LONGEST_WAIT) * random.uniform(0.8, 1.0)
    of = f"/{patience.attempts}" if patience.attempts else ""
    logger.error(
        "Cannot connect to %s: %s Trying again in %.1f s (%d%s)", broker.url, _sentence(error), wait, attempt + 1, of
    )
    return wait


def _sentence(error: OperationalError) -> str:
    text = str(error)
    return text if text.endswith(("?", ".")) else f"{text}."
