"""Drop what nobody wants any more: a revoked or expired message ends as REVOKED, without a run."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from celeriac.app.application import Celery
from celeriac.app.records import wants_result
from celeriac.states import REVOKED
from celeriac.wire.forms import RecordForm
from celeriac.worker.counting import Counting
from celeriac.worker.decide import Drop
from celeriac.worker.held import Held
from celeriac.worker.revoked_signal import RevokedSignal
from celeriac.worker.saying import saying_dropped
from celeriac.worker.settle import after_drop
from celeriac.worker.settler import Ending, Settler

logger: Final = logging.getLogger("celeriac.worker")

EXPIRED: Final = "expired"
REPLACED: Final = "replaced"


class Dropper:
    """Settle held messages that are not to run.

    Args:
        counting: counts those that are members of chords.
        done_at: returns the time of now as records write it.
        form: how records are written.
    """

    def __init__(
        self,
        app: Celery,
        settler: Settler,
        signal: RevokedSignal,
        counting: Counting,
        *,
        done_at: Callable[[], str],
        form: RecordForm,
    ) -> None:
        self._counting = counting
        self._app = app
        self._settler = settler
        self._signal = signal
        self._done_at = done_at
        self._form = form

    def drop(self, held: Held, drop: Drop) -> None:
        """End a message that no child has begun."""
        facts, message = held.intake, held.delivery.message
        why = drop.error.args[:1]
        if why == (REPLACED,):
            logger.info("Discarding task %s[%s]: %s", facts.task, facts.id, drop.error)
        else:
            logger.info("Discarding revoked task: %s[%s]", facts.task, facts.id)
            self._signal.send(message, facts.task, expired=why == (EXPIRED,))
        if held.is_watched:
            held.says = saying_dropped(expired=why == (EXPIRED,))
        wanted = wants_result(self._app.tasks.get(facts.task), facts.ignore_result)
        how = after_drop(held.delivery, facts, drop, wanted=wanted, done_at=self._done_at(), form=self._form)
        how = self._counting.add_to(how, drop.error, state=REVOKED)
        self._settler.add(Ending(held, how))
