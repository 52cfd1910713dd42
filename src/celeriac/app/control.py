"""`app.control`: tell nodes what to do. What must last is stored first; telling is what may be lost."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.broadcasting import Answers
from celeriac.app.commanding import Commanding
from celeriac.app.missing import missing_of_control
from celeriac.app.result import AsyncResult
from celeriac.app.revoking import record, revocations_of, store
from celeriac.app.timing import finite_seconds
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.wire.control import signal_name
from celeriac.wire.stamps import stamp_ids, stamps_in

logger: Final = logging.getLogger("celeriac.control")

Ids = str | AsyncResult[Any] | Iterable[str | AsyncResult[Any]]

_TOLD_AT_ONCE: Final = 10_000
"""Ids in one command."""


class Control(Commanding):
    """Tell the nodes of an app what to do, and Celery's workers, where they share the broker.

    Args:
        app: None is the current one.
    """

    def revoke(
        self,
        task_id: Ids,
        destination: Sequence[str] | None = None,
        terminate: bool = False,
        signal: str | int = "SIGTERM",
        *,
        reason: str | None = None,
        by: str | None = None,
        **options: Any,
    ) -> Answers | None:
        """Have tasks not run that have not begun.

        It is stored, for 180 days: nodes that are down now, or start later, obey too. With `destination` nothing is
        stored, and the named nodes alone leave the tasks out, until they end.

        Args:
            task_id: an id, a result, or several of these.
            destination: names of nodes; None is all of them.
            terminate: also end what is under way, by killing its process with `signal`.
            signal: such as ``SIGTERM``, ``KILL`` or 9.
            reason, by: why, and who wants it, for people.
            options: those of `broadcast`: `reply`, `timeout`, `limit`, `callback`, `pattern`, `matcher`, `connection`.

        Returns:
            What nodes have answered, with ``reply=True``; else None.

        Raises:
            ValueError: there is no such signal, or no id.
            BrokerUnavailable: it could not be stored in time.
        """
        said = {"terminate": bool(terminate), "signal": signal_name(signal), "reason": reason, "by": by}
        return self._revoke(task_id, destination, said, options)

    def terminate(
        self, task_id: Ids, destination: Sequence[str] | None = None, signal: str | int = "SIGTERM", **options: Any
    ) -> Answers | None:
        """Do as `revoke`, and end what is under way, too."""
        return self.revoke(task_id, destination=destination, terminate=True, signal=signal, **options)

    def cancel(
        self,
        task_id: Ids,
        reason: str | None = None,
        grace: float | None = None,
        *,
        by: str | None = None,
        destination: Sequence[str] | None = None,
        **options: Any,
    ) -> Answers | None:
        """Have tasks not run, and end those that are under way with `TaskCancelled`, which they can clean up after.

        What has not begun ends with `TaskCancelled` as well. Celery's workers leave out what they have not begun, and
        go on with what they have.

        Args:
            task_id: an id, a result, or several of these.
            reason: why; the first argument of the exception.
            grace: seconds that a run has to end by itself before it is killed; None leaves it to the node.
            by: who wants it, the second argument; None is user and host of this process.
            destination, options: see `revoke`.

        Raises:
            BrokerUnavailable: it could not be stored in time.
        """
        if grace is not None:
            grace = finite_seconds("grace", grace)
        said = {"cancel": True, "reason": reason, "by": by or _whoever_this_is(), "grace": grace}
        return self._revoke(task_id, destination, said, options)

    def revoke_by_stamped_headers(
        self,
        headers: Mapping[str, Any],
        destination: Sequence[str] | None = None,
        terminate: bool = False,
        signal: str | int = "SIGTERM",
        **options: Any,
    ) -> Answers | None:
        """Do as `revoke` with all tasks that bear one of some stamps, those that are sent later too.

        Args:
            headers: values by the names of stamps: ``{"tenant": ["t1", "t2"]}``.
            destination, terminate, signal, options: see `revoke`.

        Raises:
            DecodeError: no stamp is named, or too many.
            BrokerUnavailable: it could not be stored in time.
        """
        ids = stamp_ids(stamps_in(headers))
        said: dict[str, Any] = {"terminate": bool(terminate), "signal": signal_name(signal)}
        told = {"headers": headers, **said}
        if destination or options.get("pattern"):
            return self.broadcast("revoke_by_stamped_headers", told, destination, **options)
        store(self.app, revocations_of(ids, **said))
        return self._tell("revoke_by_stamped_headers", {**told, "stored": True}, options)

    def _revoke(
        self, task_id: Ids, destination: Sequence[str] | None, said: dict[str, Any], options: dict[str, Any]
    ) -> Answers | None:
        ids = _ids(task_id)
        arguments = {name: value for name, value in said.items() if value is not None}
        # What Celery's workers know of it is always said; they pass over the rest.
        arguments = {"terminate": False, "signal": "SIGTERM", **arguments}
        answers: Answers = []
        is_for_all = not destination and not options.get("pattern")
        if is_for_all:
            revocations = revocations_of(ids, **said)
            store(self.app, revocations)
            record(self.app, revocations)
            arguments["stored"] = True
        for first in range(0, len(ids), _TOLD_AT_ONCE):
            share = ids[first : first + _TOLD_AT_ONCE]
            named: str | list[str] = share[0] if len(ids) == 1 else share
            told = {"task_id": named, **arguments}
            if is_for_all:
                answers += self._tell("revoke", told, options) or []
            else:
                answers += self.broadcast("revoke", told, destination, **options) or []
        return answers if options.get("reply") else None

    def _tell(self, command: str, arguments: dict[str, Any], options: dict[str, Any]) -> Answers | None:
        """Say what is stored already: nodes that cannot be told notice it by themselves."""
        try:
            return self.broadcast(command, arguments, **options)
        except (ImproperlyConfigured, OperationalError) as exc:
            if options.get("reply"):
                raise
            logger.warning("the nodes were not told, and notice within seconds what is revoked: %s", exc)
            return None

    if not TYPE_CHECKING:  # a type checker that saw it would know of every misspelled attribute

        def __getattr__(self, name: str) -> Any:
            raise missing_of_control(name, dir(type(self)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.app!r}>"


def _ids(task_id: Ids) -> list[str]:
    named = [task_id] if isinstance(task_id, (str, AsyncResult)) else list(task_id)
    ids = list(dict.fromkeys(one.id if isinstance(one, AsyncResult) else one for one in named))
    for one in ids:
        if not isinstance(one, str) or not one:
            raise ValueError(f"an id or a result is needed, or several of them; got {one!r:.200}")
    return ids


def _whoever_this_is() -> str:
    import getpass  # needed by those who cancel, and imports what reads passwords

    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        user = "somebody"
    return f"{user}@{socket.gethostname()}"
