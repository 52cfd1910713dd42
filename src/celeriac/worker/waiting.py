"""Wait at the start of a node for a broker that is not there yet, one line per attempt.

In compositions of containers a worker is often up before its broker. A broker that is a file of this machine is not
waited for: nobody else will put right what is wrong with it.
"""

from __future__ import annotations

import logging
import random
import time
from typing import Final

import msgspec

from celeriac.app.config import Settings
from celeriac.brokers.base import Broker
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
    attempt = 0
    while True:
        try:
            broker.open(deadline_at=time.monotonic() + _ATTEMPT_WITHIN)
        except OperationalError as error:
            if not broker.capabilities.has_server or attempt == patience.attempts:
                raise
            wait = min(_FIRST_WAIT * 2 ** min(attempt, 8), _LONGEST_WAIT) * random.uniform(0.8, 1.0)
            attempt += 1
            of = f"/{patience.attempts}" if patience.attempts else ""
            logger.error(
                "Cannot connect to %s: %s Trying again in %.1f s (%d%s)",
                broker.url,
                _sentence(error),
                wait,
                attempt,
                of,
            )
            time.sleep(wait)
        else:
            return


def _sentence(error: OperationalError) -> str:
    text = str(error)
    return text if text.endswith(("?", ".")) else f"{text}."
