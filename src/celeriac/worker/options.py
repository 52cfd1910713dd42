"""What a worker is started with: the command line of one node, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

HEARTBEAT_EVERY: Final = 2.0
"""Seconds between two heartbeat events, unless the command line says otherwise."""

BODIES_MAX: Final = 10_000
"""Bodies at once in one node; more is a slip of the finger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeOptions:
    """Say how one node is to run. None leaves a choice to the app's settings.

    The app itself is not here, only its name: a node forks its forkserver before it imports the app.

    Attributes:
        app: where the app is (`-A`), or None to look for it.
        workdir: folder to change to first, or None; absolute, so that every process of the node may do it again.
        node_name: as typed, `%h` and the like not yet replaced.
        queues: names to consume; empty for the default queue.
        exclude_queues: names to leave out of those that would be consumed.
        concurrency: task bodies at once. `-c auto` leaves it None and sets `worker_concurrency` to None.
        autoscale: most and least bodies at once, between which the node chooses; None: as many as `concurrency` says.
        pool: what runs the bodies: a name of `app/pool_names.py`, or the path of a class.
        processes: children that share the bodies at once, for pools whose children run several.
        loglevel: upper case, a level of `logging`.
        logfile: path, `%n` and the like not yet replaced, or None for stderr.
        dispatch: strategy that picks a slot (`-O`): its name, or the path of a class.
        prefetch_multiplier: messages held per slot; 0 for no limit.
        stop_grace: seconds that a warm stop may take.
        settings: overrides of the app's settings, by their names; JSON can carry the values.
        include: modules to import after the app.
        quiet: no banner.
        color: whether log lines are coloured; None where they go to a terminal.
        purge: delete what waits in the queues before consuming them.
        burst: stop when the queues are empty.
        reload: start again when a source of the project changes.
        heartbeat: seconds between two heartbeat events; 0 sends none, nor that the node is there and goes.
        gossip: it takes part in elections, and steps hear of other nodes.
        own: words of the command line that are options of the app's own (`app.user_options`).
        strict: do not start where broker or result backend are set up so that they may lose something.
    """

    app: str | None = None
    workdir: str | None = None
    node_name: str | None = None
    queues: tuple[str, ...] = ()
    exclude_queues: tuple[str, ...] = ()
    concurrency: int | None = None
    autoscale: tuple[int, int] | None = None
    pool: str | None = None
    processes: int | None = None
    loglevel: str = "WARNING"
    logfile: str | None = None
    dispatch: str | None = None
    prefetch_multiplier: int | None = None
    stop_grace: float | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    include: tuple[str, ...] = ()
    quiet: bool = False
    color: bool | None = None
    purge: bool = False
    burst: bool = False
    reload: bool = False
    heartbeat: float = HEARTBEAT_EVERY
    gossip: bool = True
    own: tuple[str, ...] = ()
    strict: bool = False
