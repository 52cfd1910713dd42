"""The node as receivers of its signals see it: what Celery calls `instance`, or the sender."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

from celeriac.app.application import Celery
from celeriac.worker.options import NodeOptions
from celeriac.worker.pools.base import Pool


class NodeFacts(Protocol):
    """What is known about a node."""

    app: Celery
    name: str
    options: NodeOptions
    queues_added: list[str]
    own_options: dict[str, Any]
    pool: type[Pool]

    @property
    def concurrency(self) -> int: ...
    @property
    def queues(self) -> tuple[str, ...]: ...


class NodeHandlers:
    """Hold what is called with a node (`celeriac.events.state.Worker`) that comes, goes, or falls silent."""

    def __init__(self) -> None:
        self.node_join: set[Callable[[Any], object]] = set()
        self.node_leave: set[Callable[[Any], object]] = set()
        self.node_lost: set[Callable[[Any], object]] = set()

    def __bool__(self) -> bool:
        return bool(self.node_join or self.node_leave or self.node_lost)


class Gossip:
    """Be what steps of an app reach as ``worker.gossip``.

    Attributes:
        on: what is told of other nodes; looked at when the steps have been started.
        election_handlers: what does the thing that a node was elected for, by topic; each is called with the action,
            in a thread of the supervisor's process. The topic ``task`` sends a signature, unless it is here.
    """

    def __init__(self) -> None:
        self.on = NodeHandlers()
        self.election_handlers: dict[str, Callable[[Any], object]] = {}


class Worker:
    """Tell receivers about the node that sends a signal.

    Attributes:
        gossip: what this node does when it is elected.
        runs_tasks: task bodies run in this process, or in those that are forked from it; false in the supervisor.
    """

    def __init__(self, node: NodeFacts, *, runs_tasks: bool) -> None:
        self._node = node
        self.runs_tasks = runs_tasks
        self.gossip = Gossip()

    @property
    def app(self) -> Celery:
        """The app."""
        return self._node.app

    @property
    def hostname(self) -> str:
        """The node's name, ``name@host``."""
        return self._node.name

    @property
    def pool(self) -> str:
        """Name of what runs the bodies, such as ``prefork``."""
        return self._node.pool.name

    @property
    def concurrency(self) -> int:
        """Bodies at once; 0 while `celeryd_init` is sent, which may change it."""
        return self._node.concurrency

    @property
    def queues(self) -> tuple[str, ...]:
        """Names of the queues that it consumes."""
        return self._node.queues

    @property
    def loglevel(self) -> str:
        """Name of the level from which on it logs."""
        return self._node.options.loglevel

    @property
    def logfile(self) -> str | None:
        """Where it logs, as typed; None is standard error."""
        return self._node.options.logfile

    @property
    def pid(self) -> int:
        """Number of this process."""
        return os.getpid()

    def add_queue(self, name: str) -> None:
        """Have the node consume one more queue. Of effect until `celeryd_after_setup` has been sent."""
        if name not in self._node.queues_added:
            self._node.queues_added.append(name)

    def options(self) -> dict[str, Any]:
        """Return what was said on the command line, None where it was not said."""
        said = self._node.options
        return {
            "app": said.app,
            "hostname": said.node_name,
            "workdir": said.workdir,
            "pool": said.pool,
            "concurrency": said.concurrency,
            "autoscale": said.autoscale,
            "queues": said.queues or None,
            "exclude_queues": said.exclude_queues or None,
            "include": said.include or None,
            "loglevel": said.loglevel,
            "logfile": said.logfile,
            "optimization": said.dispatch,
            "prefetch_multiplier": said.prefetch_multiplier,
            "purge": said.purge,
            "settings": dict(said.settings),
            **self._node.own_options,
        }

    def __repr__(self) -> str:
        return f"<Worker: {self.hostname}>"
