"""The exceptions that a supervisor may tell a child of: ours, by name, with plain arguments."""

from __future__ import annotations

from typing import Final

from celeriac.exceptions import TaskCancelled, TaskRevokedError, TimeLimitExceeded, WorkerLostError
from celeriac.worker.runs import Ended

_KINDS: Final[dict[str, type[Exception]]] = {
    kind.__name__: kind for kind in (TaskCancelled, TaskRevokedError, TimeLimitExceeded, WorkerLostError)
}


def error_of(ended: Ended) -> Exception:
    """Return the exception that a run has ended with."""
    return _KINDS[ended.kind](*ended.args)
