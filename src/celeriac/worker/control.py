"""Hear control commands, have them done, and answer. What they do is in `commands/`.

What only looks, and what is done at once, is answered before the next command is read. What has to wait for a store
waits in a line of its own, and commands of users run in threads: neither keeps this node from answering others.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from typing import Any, Final

from celeriac.app.application import Celery
from celeriac.app.mailboxes import control_mailbox
from celeriac.brokers.bus import Station
from celeriac.brokers.topics import Topic
from celeriac.exceptions import CeleriacError, DecodeError, EncodeError, ImproperlyConfigured, MessageTooLarge
from celeriac.wire.control import Command, commands_of, read_command, write_answer
from celeriac.wire.notices import Notice
from celeriac.wire.reprs import bounded_repr
from celeriac.worker.background import Background
from celeriac.worker.backoff import Backoff
from celeriac.worker.commands.panel import Handler, is_built_in
from celeriac.worker.commands.plugins import load_plugins
from celeriac.worker.commands.state import Helm, State
from celeriac.worker.commands.table import command_named
from celeriac.worker.daemons import in_daemon
from celeriac.worker.elections import Elections
from celeriac.worker.instance import Gossip
from celeriac.worker.neighbours import Neighbours

logger: Final = logging.getLogger("celeriac.worker")

_WITHIN: Final = 5.0
_SHOWN_MAX: Final = 100

_LINE_MAX: Final = 1_000
"""Commands that may wait for a store; more are answered as refused."""

_THREADS_MAX: Final = 16
"""Commands of users that may run at the same time."""

_KINDS_MAX: Final = 256
"""Kinds of trouble of which each is logged once."""


class Control:
    """Do what is said to this node on the bus, beside all else that it does.

    Args:
        app: whose bus is heard.
        node: name of this node.
        helm: what commands reach.
        elections: hears what is said of elections, in its order among the commands; None where none are held.
        gossip: what steps want to hear of other nodes; None for nothing.
    """

    def __init__(
        self,
        app: Celery,
        node: str,
        helm: Helm,
        elections: Elections | None = None,
        gossip: Gossip | None = None,
    ) -> None:
        self._app = app
        self._node = node
        self._helm = helm
        self._elections = elections
        self._gossip = gossip
        self._neighbours: Neighbours | None = None
        self._listening = Background(self._listen, "control")
        self._working = Background(self._work, "control-line")
        self._line: asyncio.Queue[tuple[Station, Command, Handler]] = asyncio.Queue(_LINE_MAX)
        self._station: Station | None = None
        self._threads: set[asyncio.Task[None]] = set()
        self._complaints: set[str] = set()
        self._has_plugins = False
        self._events_exchange = app.conf.event_exchange

    def start(self) -> None:
        """Begin to listen, unless the settings say not to, or there is nothing to hear."""
        if self._app.conf.worker_enable_remote_control:
            self._listening.start()
            self._working.start()

    async def stop(self) -> None:
        """Listen no more. May be called twice."""
        await self._listening.stop()
        await self._working.stop()
        if self._elections is not None:
            self._elections.stop()
        if self._neighbours is not None:
            await self._neighbours.stop()
        for task in list(self._threads):
            task.cancel()
        station, self._station = self._station, None
        if station is not None:
            try:
                await station.close()
            except Exception:  # what this node holds must be given back all the same
                logger.exception("the station for control commands could not be closed")

    async def _listen(self) -> None:
        try:
            station = self._station = self._app.bus.station()
        except ImproperlyConfigured as exc:
            logger.info("this node hears no control commands: %s", exc)
            return
        try:
            mailbox = control_mailbox(self._app, self._node)
        except ImproperlyConfigured as exc:
            logger.error("this node hears no control commands: %s", exc)
            return
        backoff = Backoff()
        topics = [Topic(commands_of(self._app.conf.control_exchange))]
        if self._elections is not None:
            topics.append(self._elections.topic)
        if self._gossip is not None and self._gossip.on:
            self._neighbours = Neighbours(self._app, self._node, self._gossip.on)
            self._neighbours.start()
            topics.append(self._neighbours.topic)
        while True:
            try:
                heard = await station.subscribe(topics, deadline_at=time.monotonic() + _WITHIN, mailbox=mailbox)
                # What was said while nobody listened: it may be stored.
                await self._helm.revoking.refresh()
                while notices := await heard.hear():
                    backoff.reset()
                    for notice in notices:
                        await self._hear(station, notice)
            except CeleriacError as exc:
                delay = backoff.next()
                logger.warning("this node hears no control commands, trying again in %.1f s: %s", delay, exc)
                await asyncio.sleep(delay)
            except Exception:
                delay = backoff.next()
                logger.exception("hearing control commands failed, trying again in %.1f s", delay)
                await asyncio.sleep(delay)

    async def _hear(self, station: Station, notice: Notice) -> None:
        if notice.exchange == self._events_exchange:
            self._hear_event(notice)
            return
        try:
            command = read_command(notice)
        except DecodeError as exc:
            self._complain("unreadable", "ignored what is no control command: %s", exc)
            return
        self._app.clock.adjust(command.clock)
        if not command.is_for(self._node):
            return
        handler = command_named(command.method)
        if handler is None and not self._has_plugins:
            self._has_plugins = True
            await in_daemon(load_plugins)  # once, and only where somebody asks for what is not known
            handler = command_named(command.method)
        if handler is None:
            method = command.method[:_SHOWN_MAX]
            self._complain("unknown", "control command %r is not known here", method)
            await self._answer(station, command, {"error": repr(KeyError(method))})
        elif not is_built_in(handler):
            await self._start_thread(station, command, handler)
        elif inspect.iscoroutinefunction(handler):
            await self._line_up(station, command, handler)
        else:
            await self._do_now(station, command, handler)

    def _hear_event(self, notice: Notice) -> None:
        if self._elections is not None and self._elections.topic.includes(notice.exchange, notice.routing_key):
            self._elections.hear(notice)
        elif self._neighbours is not None:
            self._neighbours.hear(notice)

    async def _do_now(self, station: Station, command: Command, handler: Handler) -> None:
        """Do a command that waits for nothing."""
        state = self._state_for(command)
        try:
            answer = handler(state, **command.arguments)
        except Exception as exc:  # noqa: BLE001 - whoever asks is told, and the log as well
            answer = self._failed(command, exc)
        await self._answer(station, command, answer)
        if state.afterwards is not None:
            state.afterwards()

    # -- what waits for a store ---------------------------------------------------------------------------------

    async def _line_up(self, station: Station, command: Command, handler: Handler) -> None:
        try:
            self._line.put_nowait((station, command, handler))
        except asyncio.QueueFull:
            await self._refuse(station, command, f"{_LINE_MAX:,} commands wait here already")

    async def _work(self) -> None:
        while True:
            station, command, handler = await self._line.get()
            try:
                answer = await handler(self._state_for(command), **command.arguments)
            except Exception as exc:  # noqa: BLE001 - as above
                answer = self._failed(command, exc)
            await self._answer(station, command, answer)

    # -- commands of users --------------------------------------------------------------------------------------

    async def _start_thread(self, station: Station, command: Command, handler: Handler) -> None:
        if len(self._threads) >= _THREADS_MAX:
            await self._refuse(station, command, f"{_THREADS_MAX} commands of your own run here already")
            return
        task = asyncio.create_task(self._do_in_thread(station, command, handler), name=f"command {command.method}")
        self._threads.add(task)
        task.add_done_callback(self._threads.discard)

    async def _do_in_thread(self, station: Station, command: Command, handler: Handler) -> None:
        state = self._state_for(command)
        try:
            answer = await in_daemon(lambda: _called(handler, state, command.arguments))
        except Exception as exc:  # noqa: BLE001 - as above
            answer = self._failed(command, exc, is_own=False)
        await self._answer(station, command, answer)

    # -- answers ------------------------------------------------------------------------------------------------

    def _state_for(self, command: Command) -> State:
        return State(self._app, self._node, self._helm, is_for_all=command.is_for_all)

    def _failed(self, command: Command, exc: Exception, *, is_own: bool = True) -> Any:
        expected = is_own and isinstance(exc, (CeleriacError, ValueError, TypeError))
        self._complain(
            f"{command.method} {type(exc).__name__}",
            "control command %r cannot be done: %s",
            command.method[:_SHOWN_MAX],
            bounded_repr(exc),
            exc_info=None if expected else exc,
        )
        return {"error": repr(exc)}

    async def _refuse(self, station: Station, command: Command, why: str) -> None:
        self._complain(f"too many {command.method}", "control command %r was refused: %s", command.method, why)
        await self._answer(station, command, {"error": f"{why}; try again later"})

    async def _answer(self, station: Station, command: Command, value: Any) -> None:
        try:
            answer = self._written(command, value)
            if answer is not None:
                await station.reply([answer], deadline_at=time.monotonic() + _WITHIN)
        except MessageTooLarge as exc:
            answer = self._written(command, {"error": f"the answer is too large: {exc}"})
            if answer is not None:
                await station.reply([answer], deadline_at=time.monotonic() + _WITHIN)
        except CeleriacError as exc:
            logger.warning("the answer to control command %r got lost: %s", command.method[:_SHOWN_MAX], exc)

    def _written(self, command: Command, value: Any) -> Notice | None:
        clock = self._app.clock.forward()
        try:
            return write_answer(command, self._node, value, clock=clock)
        except (EncodeError, MessageTooLarge) as exc:
            return write_answer(command, self._node, {"error": f"the answer cannot be written: {exc}"}, clock=clock)

    def _complain(self, kind: str, text: str, *words: object, exc_info: Exception | None = None) -> None:
        """Log what is wrong with commands: once per kind, for anybody may send as many as they like."""
        if kind in self._complaints or len(self._complaints) >= _KINDS_MAX:
            return
        self._complaints.add(kind)
        logger.warning("%s; more of this kind are not logged", text % words, exc_info=exc_info)


def _called(handler: Handler, state: State, arguments: dict[str, Any]) -> Any:
    if inspect.iscoroutinefunction(handler):
        return asyncio.run(handler(state, **arguments))
    return handler(state, **arguments)
