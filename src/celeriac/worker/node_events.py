"""What a node tells of itself and its tasks: which events there are, and when."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from celeriac import __version__
from celeriac.app.application import Celery
from celeriac.app.events import task_events
from celeriac.app.events.task_events import Says, sender_name
from celeriac.app.task import Task
from celeriac.clock import until_tick
from celeriac.message import Message
from celeriac.wire.events import SOFTWARE, hours_west, made
from celeriac.wire.jsontypes import dumps_text
from celeriac.worker.background import Background
from celeriac.worker.event_stream import EventStream
from celeriac.worker.held import Held
from celeriac.worker.options import HEARTBEAT_EVERY


class Looks(Protocol):
    """See what a node is doing."""

    def held(self) -> Iterable[Held]:
        """Return all messages that are not settled."""
        ...

    def running_now(self) -> Iterable[Held]:
        """Return what runs now."""
        ...

    def totals(self) -> dict[str, int]:
        """Return how many runs of each task have begun."""
        ...


class NodeEvents:
    """Send the events of one node.

    Those of tasks only while they are switched on, and of messages that were claimed since: each is followed from its
    first event to its last. The last ones come when the store has taken what the run came to, not before.

    Args:
        app: on whose bus.
        node: its name.
        looks: sees what it is doing.
        freq: seconds between two heartbeats; None sends none.
        of_tasks: events of tasks are on from the start.

    Attributes:
        on: whether events of tasks are sent.
    """

    def __init__(self, app: Celery, node: str, looks: Looks, *, freq: float | None, of_tasks: bool) -> None:
        self._app = app
        self._node = node
        self._looks = looks
        self._freq = freq
        self._limits = app.conf.limits
        self._tells_sent = app.conf.task_send_sent_event
        self._wanted = of_tasks
        self.on = False
        self._forward = app.clock.forward
        self._stream = EventStream(app, node, before_flush=self._note_started)
        self._add = self._stream.add
        self._put_off: list[tuple[str, Says, float]] | None = None
        self._beating = Background(self._beat_on, "heartbeat")
        self._started = False
        self._note_zone()

    def start(self) -> None:
        """Tell that the node is there, and begin; nothing where there is no bus."""
        self._started = self._stream.start()
        self.on = self._started and self._wanted
        if not self._started:
            return
        if self._freq is not None:
            self._tell("worker-online")
            self._beating.start()

    async def stop(self) -> None:
        """Tell that the node goes. May be called twice, or before `start`."""
        await self._beating.stop()
        if self._started and self._freq is not None:
            self._tell("worker-offline")
        self._started = self.on = False
        await self._stream.stop()

    # -- switching ----------------------------------------------------------------------------------------------

    def enable_tasks(self) -> bool:
        """Send events of tasks; False when they are sent already."""
        was, self.on, self._wanted = self.on, self._started, True
        return not was

    def disable_tasks(self) -> bool:
        """Send no events of tasks; False when none are sent already."""
        was, self.on, self._wanted = self.on, False, False
        return was

    def beat(self) -> None:
        """Send one heartbeat now."""
        if self._started:
            self._tell("worker-heartbeat")

    # -- the node -----------------------------------------------------------------------------------------------

    async def _beat_on(self) -> None:
        assert self._freq is not None
        while True:
            await asyncio.sleep(until_tick(self._freq))
            self._note_zone()
            self._tell("worker-heartbeat")

    def _note_zone(self) -> None:
        """Look at the zone of this machine, whose offset changes twice a year."""
        self._utcoffset, self._pid = hours_west(), os.getpid()
        self._head = task_events.head_of(self._node, utcoffset=self._utcoffset, pid=self._pid)
        self._head_of_sender = task_events.head_of(sender_name(), utcoffset=self._utcoffset, pid=self._pid)

    def _tell(self, kind: str) -> None:
        facts = {
            "freq": self._freq or HEARTBEAT_EVERY,
            "active": sum(1 for _ in self._looks.running_now()),
            "processed": sum(self._looks.totals().values()),
            "loadavg": [round(load, 2) for load in os.getloadavg()],
            "sw_ident": SOFTWARE,
            "sw_ver": __version__,
            "sw_sys": platform.system(),
        }
        self.tell(kind, facts)

    def tell(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Send one event that is not of a task, unless there is no bus."""
        if not self._started:
            return
        told = made(
            kind,
            facts,
            hostname=self._node,
            pid=self._pid,
            clock=self._forward(),
            at=time.time(),
            utcoffset=self._utcoffset,
        )
        self._stream.add_single(kind.replace("-", "."), dumps_text(told))

    # -- tasks --------------------------------------------------------------------------------------------------

    def watches(self, task: Task[..., Any] | None) -> bool:
        """Say whether events are sent of the runs of a task; None is one that is not known here."""
        return self.on and (task is None or task.send_events)

    def received(self, message: Message, name: str, task: Task[..., Any] | None) -> None:
        """Tell that the node has a message."""
        says = task_events.received(message, name, task, limits=self._limits)
        told = task_events.quoted(message.task_id), says, time.time()
        if self._put_off is None:
            self._say(*told)
        else:
            self._put_off.append(told)

    def put_off_received(self) -> None:
        """Tell of the messages that come now as soon as the loop goes on.

        For those that a settlement has claimed: what the runs before them came to is told first.
        """
        if self.on and self._put_off is None:
            self._put_off = []
            asyncio.get_running_loop().call_soon(self._say_put_off)

    def _say_put_off(self) -> None:
        put_off, self._put_off = self._put_off, None
        for told in put_off or ():
            self._say(*told)

    def _note_started(self) -> bool:
        """Tell which runs have begun since the last time; say whether some of those that are held may begin later."""
        if not self.on:
            return False
        if self._put_off is not None:
            return True  # some of what runs was not told to be received yet
        for held in self._looks.running_now():
            if held.is_watched and not held.is_start_told:
                self._say_started(held, task_events.quoted(held.intake.id))
        return any(held.is_watched and not held.is_start_told for held in self._looks.held())

    def _say_started(self, held: Held, uuid: str) -> None:
        held.is_start_told = True
        self._say(uuid, task_events.STARTED, time.time() - (time.monotonic() - held.began_at))

    def ended(self, held: Held, published: Sequence[Message] = ()) -> None:
        """Tell what a message came to, now that it is stored, and what was published because of it."""
        if self._tells_sent:
            for message in published:
                self._say_sent(message)
        uuid = task_events.quoted(held.intake.id)
        if held.began_at and not held.is_start_told:
            self._say_started(held, uuid)
        now = time.time()
        for says in held.says:
            self._say(uuid, says, now)

    def _say_sent(self, message: Message) -> None:
        """Tell of a message that was published for a run, in the name of the process: nodes send no tasks."""
        told = task_events.told_sent(message, self._app.tasks, limits=self._limits)
        if told is not None:
            uuid = task_events.quoted(message.task_id)
            self._stream.add_single(
                "task.sent", task_events.event(self._head_of_sender, self._forward(), uuid, told, time.time())
            )

    def _say(self, uuid: str, says: Says, at: float) -> None:
        self._add(task_events.event(self._head, self._forward(), uuid, says, at))
