"""Say a control command to all nodes or some, and collect what they answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from celeriac.app.current import current_app
from celeriac.app.mailboxes import control_mailbox
from celeriac.ids import new_id
from celeriac.wire.control import Command, answers_of, clock_of, commands_of, read_answer, write_command

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.brokers.bus import Inbox

Answers = list[dict[str, Any]]

ANSWERS_WITHIN: Final = 1.0
"""Seconds for which answers are waited for, unless somebody says otherwise."""


class Broadcasting:
    """Talk to the nodes of an app, and to Celery's workers, where they share the broker.

    Args:
        app: None is the current one.
    """

    def __init__(self, app: Celery | None = None) -> None:
        self._app = app

    @property
    def app(self) -> Celery:
        """The app whose nodes are told."""
        return self._app or current_app()

    def broadcast(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: Sequence[str] | None = None,
        connection: Any = None,
        reply: bool = False,
        timeout: float | None = ANSWERS_WITHIN,
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
            clock=self.app.clock.forward(),
        )
        deadline_at = time.monotonic() + self.app.conf.task_publish_timeout
        if not reply:
            bus.broadcast([write_command(asked, exchange=commands_of(namespace))], deadline_at=deadline_at)
            return None
        seconds = ANSWERS_WITHIN if timeout is None else timeout
        with bus.inbox(answers_of(namespace), deadline_at=deadline_at, mailbox=control_mailbox(self.app)) as inbox:
            ticket = new_id()
            reply_to = (inbox.exchange, inbox.routing_key)
            asked = msgspec.structs.replace(asked, ticket=ticket, reply_to=reply_to)
            expires_at = time.time() + seconds
            notice = write_command(asked, exchange=commands_of(namespace), expires_at=expires_at)
            bus.broadcast([notice], deadline_at=deadline_at)
            most = limit or len(asked.destination) or None
            return self._collect(inbox, ticket, until=time.monotonic() + seconds, most=most, callback=callback)

    def _collect(
        self,
        inbox: Inbox,
        ticket: str,
        *,
        until: float,
        most: int | None,
        callback: Callable[[dict[str, Any]], object] | None,
    ) -> Answers:
        answers: Answers = []
        while most is None or len(answers) < most:
            notices = inbox.collect(deadline_at=until)
            for notice in notices:
                answer = read_answer(notice, ticket)
                if answer is None:
                    continue
                self.app.clock.adjust(clock_of(notice))
                answers.append(answer)
                if callback is not None:
                    callback(answer)
            if time.monotonic() >= until:
                break
        return answers
