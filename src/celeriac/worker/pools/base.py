"""The port of pools: what runs inside a child.

A pool says how a node divides its bodies over children, and how a child runs them. All else is the same for every pool:
supervisor, packets, what runs in a body's context, limits, what becomes of a child that dies.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from celeriac.app.application import Celery
from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.channel import Channel
from celeriac.worker.execute import Executor
from celeriac.worker.interrupts import Interrupts


class Pool(ABC):
    """Run bodies in one child. Made in that child.

    `celeriac.testing.pools` has the tests that a pool has to pass.

    Attributes:
        name: what it is called on the command line.
        role: what its children are called in process lists and log lines, before their number.
        app: its tasks are registered.
        hostname: the node's name.
        capacity: bodies that may run at once.
        interrupts: has orders reach the bodies.
    """

    name: ClassVar[str]
    role: ClassVar[str] = "PoolWorker"

    def __init__(self, app: Celery, hostname: str, capacity: int, interrupts: Interrupts) -> None:
        self.app = app
        self.hostname = hostname
        self.capacity = capacity
        self.interrupts = interrupts

    @classmethod
    def usual_concurrency(cls, cpus: int) -> int:
        """Return how many bodies a node runs at once where nobody says; `cpus` are those that it may use."""
        return cpus

    @classmethod
    @abstractmethod
    def layout(cls, concurrency: int, processes: int | None) -> tuple[int, ...]:
        """Return how many bodies each child of a node may run at once.

        Args:
            concurrency: bodies at once in the node (`-c`).
            processes: children that were asked for (`--processes`), None where nobody did.

        Raises:
            ImproperlyConfigured: that cannot be had.
        """

    @abstractmethod
    def serve(self, channel: Channel) -> None:
        """Say that the child is ready, run what comes, and return when nothing more comes and all has ended.

        A run may only be read from the channel while fewer than `capacity` bodies run: what was not read can still run
        elsewhere. Each run is answered with one outcome, as `Executor` makes it, in any order.

        Raises:
            OSError: the supervisor has gone. The child ends, whatever it is running.
        """

    def new_executor(self) -> Executor:
        """Make what runs bodies, for one thread."""
        return Executor(self.app, self.hostname, self.interrupts)


def divided(concurrency: int, processes: int | None) -> tuple[int, ...]:
    """Divide bodies over children as evenly as possible: 10 over 4 are 3, 3, 2 and 2.

    Raises:
        ImproperlyConfigured: there are more children than bodies.
    """
    count = processes or 1
    if count > concurrency:
        raise ImproperlyConfigured(
            f"--processes {count} with -c {concurrency}: -c counts what runs at once in the whole node, so a process "
            f"would have nothing to run; give -c {count} or more, or fewer processes"
        )
    share, more = divmod(concurrency, count)
    return (share + 1,) * more + (share,) * (count - more)
