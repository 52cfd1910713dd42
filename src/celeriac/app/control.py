"""`app.control`: tell nodes what to do. What must last is stored first; telling is what may be lost."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.current import current_app
from celeriac.app.missing import missing_of_control
from celeriac.app.result import AsyncResult
from celeriac.app.revoking import record, revocations_of, store
from celeriac.app.timing import finite_seconds
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.ids import new_id
from celeriac.wire.control import Command, answers_of, commands_of, read_answer, signal_name, write_command

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.brokers.bus import Inbox

logger: Final = logging.getLogger("celeriac.control")

Ids = str | AsyncResult[Any] | Iterable[str | AsyncResult[Any]]
Answers = list[dict[str, Any]]

_TOLD_AT_ONCE: Final = 10_000
"""Ids in one command."""

_ANSWERS_WITHIN: Final = 1.0


class Control:
    """Tell the nodes of an app what to do, and Celery's workers, where they share the broker.

    Args:
        app: None is the current one.
    """

    def __init__(self, app: Celery | None = None) -> None:
        self._app = app

    @property
    def app(self) -> Celery:
        """The app whose nodes are told."""
        return self._app or current_app()

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
            try:
                told = self.broadcast("revoke", {"task_id": named, **arguments}, destination, **options)
            except (ImproperlyConfigured, OperationalError) as exc:
                if not is_for_all or options.get("reply"):
                    raise
                logger.warning("the nodes were not told, and notice within seconds what is revoked: %s", exc)
                return None
            answers += told or []
        return answers if options.get("reply") else None

    def broadcast(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: Sequence[str] | None = None,
        connection: Any = None,
        reply: bool = False,
        timeout: float | None = _ANSWERS_WITHIN,
        limit: int | None = None,
        callback: Callable[[dict[str, Any]], object] | None = None,
        channel: Any = None,
        pattern: str | None = None,
        matcher: str | None = None,
        **more: Any,
    ) -> Answers | None:
        """Send a command to nodes, and return their answers if they are wanted.

        Args:
            command: its name.
            arguments: by name; `more` are added.
            destination: names of nodes; None is all of them.
            connection, channel: of no effect; taken because Celery has them.
            reply: collect answers.
            timeout: seconds for which to wait for them; None is one second.
            limit: how many to wait for; None is as many as there are in `destination`, or that come in time.
            callback: called with each answer.
            pattern: what names of nodes must match instead of being in `destination`.
            matcher: ``glob`` or ``pcre``, which is how `pattern` is read.

        Returns:
            ``[{node: answer}, …]`` with `reply`; else None.

        Raises:
            ImproperlyConfigured: the broker has no bus.
            BrokerUnavailable: it could not be sent in time.
        """
        bus, namespace = self.app.bus, self.app.conf.control_exchange
        if isinstance(destination, str):
            destination = [destination]
        asked = Command(
            method=command,
            arguments={**(arguments or {}), **more},
            destination=tuple(destination or ()),
            pattern=pattern,
            matcher=matcher,
        )
        deadline_at = time.monotonic() + self.app.conf.task_publish_timeout
        if not reply:
            bus.broadcast([write_command(asked, exchange=commands_of(namespace))], deadline_at=deadline_at)
            return None
        seconds = _ANSWERS_WITHIN if timeout is None else timeout
        with bus.inbox(answers_of(namespace), deadline_at=deadline_at) as inbox:
            ticket = new_id()
            asked = _with_inbox(asked, inbox, ticket)
            expires_at = time.time() + seconds
            notice = write_command(asked, exchange=commands_of(namespace), expires_at=expires_at)
            bus.broadcast([notice], deadline_at=deadline_at)
            most = limit or len(asked.destination) or None
            return _collect(inbox, ticket, until=time.monotonic() + seconds, most=most, callback=callback)

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


def _with_inbox(command: Command, inbox: Inbox, ticket: str) -> Command:
    return Command(
        method=command.method,
        arguments=command.arguments,
        destination=command.destination,
        pattern=command.pattern,
        matcher=command.matcher,
        ticket=ticket,
        reply_to=(inbox.exchange, inbox.routing_key),
    )


def _collect(
    inbox: Inbox, ticket: str, *, until: float, most: int | None, callback: Callable[[dict[str, Any]], object] | None
) -> Answers:
    answers: Answers = []
    while most is None or len(answers) < most:
        notices = inbox.collect(deadline_at=until)
        for notice in notices:
            answer = read_answer(notice, ticket)
            if answer is None:
                continue
            answers.append(answer)
            if callback is not None:
                callback(answer)
        if time.monotonic() >= until:
            break
    return answers
