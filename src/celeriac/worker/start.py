"""What is decided about a node before it starts, and how its children come to be.

A node begins as two processes. One forks the other before the app is imported, and both import it, side by side.
Which of them is what depends on the pool:

    pool      the process that was started     the process forked from it
    prefork   supervisor                       forkserver, which forks the children
    solo      runs the bodies                  supervisor
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import msgspec

from celeriac.wire.forms import RecordForm
from celeriac.wire.serializers import Accept
from celeriac.worker.autoscale import Autoscaler
from celeriac.worker.forkserver import Died, ForkServerHandle, Notice
from celeriac.worker.instance import Gossip, Worker
from celeriac.worker.lives import Starter
from celeriac.worker.options import HEARTBEAT_EVERY
from celeriac.worker.orders import ORDER_SIGNAL, Leave, send_order
from celeriac.worker.recycling import Recycling
from celeriac.worker.reloading import Reload
from celeriac.worker.scaling import Bounds
from celeriac.worker.slots import Slots

_LEAVE_WITHIN: Final = 1.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Say how a node is to run, everything decided.

    Attributes:
        node: its name, ``name@host``.
        queues: what it consumes.
        capacities: bodies at once in each of its children.
        dispatch: the strategy: its name, the path of a class, or a class.
        prefetch_multiplier: messages held per slot; None leaves it to the strategy, 0 sets no limit.
        stop_grace: seconds that a warm stop may take; None is as long as it takes.
        soft_stop: seconds that what runs has between a warm stop and a cold one; 0 for none.
        term_is: the signal that SIGTERM stands for, or None.
        has_terminal: somebody sits before this node: SIGHUP says that they have gone.
        accept: which messages may be decoded.
        form: how the supervisor writes records.
        pool: module and class of what runs the bodies, for people.
        layout: returns how many bodies each child would run, for so many at once in the node; None where that cannot
            change while it runs.
        autoscale: between which numbers of bodies at once the node chooses; None: it keeps those that it starts with.
        autoscaler: the class that chooses.
        recycling: what a child may come to before another one takes its place.
        alive_within: seconds in which a child that was started must be ready; None: as long as it takes.
        fresh: children are fresh interpreters because that was asked for.
        burst: stop when the queues are empty.
        reload: start again when a source changes, or None.
        heartbeat: seconds between two heartbeat events; None sends none, nor any other of the node itself.
        gossip: what steps want of it; None: it takes part in no elections, and hears of no other nodes.
        worker: the node, as receivers of its signals see it; None where it is none of its own.
        hears_signals: signals of this process stop the node; else whoever started it does.
        say_ready: called once, when the node takes work.
        say: tells the person at the terminal something.
    """

    node: str
    queues: tuple[str, ...]
    capacities: tuple[int, ...]
    dispatch: str | type
    prefetch_multiplier: int | None
    stop_grace: float | None
    accept: Accept
    form: RecordForm
    say_ready: Callable[[], None]
    say: Callable[[str], None]
    pool: str = ""
    layout: Callable[[int], tuple[int, ...]] | None = None
    autoscale: Bounds | None = None
    autoscaler: type[Autoscaler] = Autoscaler
    recycling: Recycling | None = None
    alive_within: float | None = None
    fresh: bool = False
    soft_stop: float = 0.0
    term_is: str | None = None
    has_terminal: bool = False
    burst: bool = False
    reload: Reload | None = None
    heartbeat: float | None = HEARTBEAT_EVERY
    gossip: Gossip | None = msgspec.field(default_factory=Gossip)
    worker: Worker | None = None
    hears_signals: bool = True


class Crew(Starter, Protocol):
    """Start the children of a node, and tell of their deaths.

    Attributes:
        gone: what has happened when there are no `notices` any more.
        can_kill: a child can be killed, and another one started.
    """

    gone: str
    can_kill: bool

    def start(self, slots: Slots, capacities: Sequence[int]) -> None:
        """Start a child for each number of bodies that one is to run at once."""
        ...

    def fileno(self) -> int:
        """Become readable when `notices` has something."""
        ...

    def notices(self) -> list[Notice] | None:
        """Return what has happened; None when no child can be started any more."""
        ...

    def close(self) -> None:
        """Let go of the children; those that still live end."""
        ...


class ForkedCrew(ForkServerHandle):
    """Children of a forkserver (pool `prefork`)."""

    gone = "the forkserver died, and every child with it"
    can_kill = True

    def start(self, slots: Slots, capacities: Sequence[int]) -> None:
        slots.start(capacities)


class Foreground:
    """The process that was started runs the bodies itself, for debuggers (pool `solo`).

    It is this supervisor's parent. When it dies the node ends, after its last outcomes were settled.
    """

    gone = "the foreground process died, which ran the tasks"
    can_kill = False

    def __init__(self, end: socket.socket, handle: socket.socket, line: socket.socket, pid: int) -> None:
        self._end = end
        self._handle = handle
        self._line = line
        self._pid = pid
        self._death = os.pidfd_open(pid)
        self._dead = False

    def start(self, slots: Slots, capacities: Sequence[int]) -> None:
        slots.adopt(0, self._end, self._handle, self._line)

    def spawn(
        self, slot: int, child_end: socket.socket, line: socket.socket, *, place: int = 0, capacity: int = 1
    ) -> None:
        """There is no other foreground process."""

    def kill(self, slot: int, number: int, *, group: bool = False) -> None:
        """Send it a signal. Instead of SIGKILL it is asked to leave with an exit code of its own, for a second."""
        if number != signal.SIGKILL:
            self._send(number)
            return
        send_order(self._line, Leave())
        self._send(signal.Signals[ORDER_SIGNAL])
        asyncio.get_running_loop().call_later(_LEAVE_WITHIN, self._send, number)

    def _send(self, number: int) -> None:
        with contextlib.suppress(OSError):  # it has gone, or this supervisor has let go of it
            signal.pidfd_send_signal(self._death, number)

    def fileno(self) -> int:
        return self._death

    def notices(self) -> list[Notice] | None:
        if self._dead:
            return None
        if not select.select([self._death], [], [], 0)[0]:
            return []
        self._dead = True
        return [Died(0, self._pid, signal.SIGKILL, 0)]

    def close(self) -> None:
        os.close(self._death)
