"""Hear control commands, do them, and answer. What is not in the table of commands is answered as unknown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from celeriac.app import revoking as shared
from celeriac.app.application import Celery
from celeriac.brokers.bus import Station
from celeriac.brokers.revocations import Revocation
from celeriac.brokers.topics import Topic
from celeriac.exceptions import CeleriacError, DecodeError, ImproperlyConfigured, OperationalError
from celeriac.wire.control import Command, commands_of, flag, ids_in, read_command, signal_name, text, write_answer
from celeriac.wire.notices import Notice
from celeriac.worker.background import Background
from celeriac.worker.backoff import Backoff
from celeriac.worker.revoking import Revoking

logger: Final = logging.getLogger("celeriac.worker")

_WITHIN: Final = 5.0
_SHOWN_MAX: Final = 100


class Control:
    """Do what is said to this node on the bus, in one background task, one command after another.

    Args:
        app: whose bus is heard.
        node: name of this node.
        revoking: what is revoked is handed to it.
    """

    def __init__(self, app: Celery, node: str, revoking: Revoking) -> None:
        self._app = app
        self._node = node
        self._revoking = revoking
        self._commands: Mapping[str, Callable[[Command], Awaitable[object]]] = {
            "revoke": self._revoke,
            "terminate": self._terminate,
            "cancel": self._cancel,
            "ping": self._ping,
        }
        self._loop = Background(self._run, "control")
        self._station: Station | None = None
        self._unreadable = 0

    def start(self) -> None:
        """Begin to listen, unless the settings say not to, or there is nothing to hear."""
        if self._app.conf.worker_enable_remote_control:
            self._loop.start()

    async def stop(self) -> None:
        """Listen no more. May be called twice."""
        await self._loop.stop()
        station, self._station = self._station, None
        if station is not None:
            try:
                await station.close()
            except Exception:  # what this node holds must be given back all the same
                logger.exception("the station for control commands could not be closed")

    async def _run(self) -> None:
        try:
            station = self._station = self._app.bus.station()
        except ImproperlyConfigured as exc:
            logger.info("this node hears no control commands: %s", exc)
            return
        backoff = Backoff()
        topics = [Topic(commands_of(self._app.conf.control_exchange))]
        while True:
            try:
                heard = await station.subscribe(topics, deadline_at=time.monotonic() + _WITHIN)
                # What was said while nobody listened: it may be stored.
                await self._revoking.refresh()
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
        try:
            command = read_command(notice)
        except DecodeError as exc:
            self._unreadable += 1
            if self._unreadable == 1:
                logger.warning("ignored what is no control command: %s; more of them are only counted", exc)
            return
        if not command.is_for(self._node):
            return
        answer = write_answer(command, self._node, await self._do(command))
        if answer is not None:
            try:
                await station.reply([answer], deadline_at=time.monotonic() + _WITHIN)
            except CeleriacError as exc:
                logger.warning("the answer to control command %r got lost: %s", command.method[:_SHOWN_MAX], exc)

    async def _do(self, command: Command) -> object:
        """Do a command, and return what Celery's workers would answer."""
        do = self._commands.get(command.method)
        if do is None:
            logger.info("control command %r is not known here", command.method[:_SHOWN_MAX])
            return {"error": repr(KeyError(command.method[:_SHOWN_MAX]))}
        try:
            return await do(command)
        except (DecodeError, ValueError) as exc:
            logger.warning("control command %r cannot be done: %s", command.method, exc)
            return {"error": repr(exc)}
        except Exception as exc:
            logger.exception("control command %r failed", command.method)
            return {"error": repr(exc)}

    async def _ping(self, command: Command) -> object:
        return {"ok": "pong"}

    # -- revoking -----------------------------------------------------------------------------------------------

    async def _revoke(self, command: Command) -> object:
        return await self._end(command, terminate=flag(command.arguments, "terminate"))

    async def _terminate(self, command: Command) -> object:
        return await self._end(command, terminate=True)

    async def _cancel(self, command: Command) -> object:
        return await self._end(command, cancel=True)

    async def _end(self, command: Command, *, terminate: bool = False, cancel: bool = False) -> object:
        said = command.arguments
        ids = ids_in(said.get("task_id"))
        cancel = cancel or flag(said, "cancel")
        grace = said.get("grace")
        revocations = shared.revocations_of(
            ids,
            reason=text(said, "reason"),
            by=text(said, "by"),
            terminate=terminate,
            signal=signal_name(said.get("signal")),
            grace=float(grace) if isinstance(grace, (int, float)) and grace >= 0 else None,
            cancel=cancel,
        )
        concerned = self._revoking.held_of(ids)
        if flag(said, "stored"):
            await self._revoking.refresh()
        elif command.is_for_all:
            await self._store(revocations)
        else:
            self._revoking.revoke_here(revocations)
        if terminate:
            logger.info("Terminating %s (%s)", ", ".join(concerned) or "nothing", revocations[0].signal)
            return {"ok": f"terminate: {', '.join(concerned) or 'tasks unknown'}"}
        if cancel:
            logger.info("Cancelling %s", ", ".join(concerned) or "nothing")
            return {"ok": f"cancel: {', '.join(concerned) or 'tasks unknown'}"}
        logger.info("Tasks flagged as revoked: %s", ", ".join(ids[:_SHOWN_MAX]))
        return {"ok": f"tasks {{{', '.join(map(repr, ids))}}} flagged as revoked"}

    async def _store(self, revocations: list[Revocation]) -> None:
        """Store what a client of Celery has said to those who listen now, so that it lasts and everybody obeys."""
        try:
            news = set(await asyncio.to_thread(shared.store, self._app, revocations))
        except OperationalError as exc:
            logger.warning("what is revoked cannot be stored, and holds in this node only: %s", exc)
            self._revoking.revoke_here(revocations)
            return
        await self._revoking.refresh()
        told = [one for one in revocations if one.task_id in news]
        if told:  # else another node has heard it first, and does this
            await asyncio.to_thread(shared.record, self._app, told)
