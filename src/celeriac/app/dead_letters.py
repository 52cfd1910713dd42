"""The dead letters of an app: what no worker could run or settle, kept where people can look at it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from celeriac.brokers.base import DeadLetter
from celeriac.states import FAILURE

if TYPE_CHECKING:
    from celeriac.app.application import Celery


class DeadLetters:
    """Look at the dead letters of an app's broker, and replay or discard them. `app.dead_letters` is one."""

    def __init__(self, app: Celery) -> None:
        self._app = app

    def newest(self, *, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """Return the newest dead letters, of one queue or of all, without their messages."""
        return self._app.broker.dead_letters(queue=queue, limit=limit)

    def get(self, number: int) -> DeadLetter | None:
        """Return one dead letter with its message, unless that is too large; None when there is none of that number."""
        return self._app.broker.dead_letter(number)

    def replay(self, numbers: Collection[int]) -> list[str]:
        """Put dead letters back into their queues under the same ids, and return these. Unknown numbers are left out.

        Whoever waits for such a result waits for the new outcome: the failure that was recorded is forgotten, also
        where results are kept in another store than messages. A letter that names no queue stays, as does its failure.
        """
        backend = self._app.backend
        if backend is not None:  # first: afterwards it could be the new outcome
            letters = [self.get(number) for number in numbers]
            kept = backend.get_many([letter.task_id for letter in letters if letter is not None and letter.queue])
            failures = [task_id for task_id, record in kept.items() if record.state == FAILURE]
            if failures:
                backend.forget(failures)
        return self._app.broker.replay(numbers)

    def discard(self, numbers: Collection[int]) -> int:
        """Delete dead letters, and say how many there were."""
        return self._app.broker.discard(numbers)
