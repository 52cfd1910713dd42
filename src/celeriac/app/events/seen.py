"""Nodes and tasks as their events show them. Pure: they hold what was told, the newest and the most telling."""

from __future__ import annotations

import time
import weakref
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

from celeriac.states import (
    FAILURE,
    PENDING,
    READY_STATES,
    RECEIVED,
    REJECTED,
    RETRY,
    REVOKED,
    STARTED,
    SUCCESS,
    precedence,
)

if TYPE_CHECKING:
    from celeriac.app.events.state import State

_FREQ: Final = 60.0

HEARTBEATS_MAX: Final = 4
EXPIRE_PERCENT: Final = 200.0
"""How long a node counts as alive after its last heartbeat, in percent of the time between two."""

DRIFT_MAX: Final = 16.0
"""Seconds by which the clocks of a node and of this machine may differ unnoticed."""

_OTHERS_MAX: Final = 64
"""Fields that an event may add which no event of Celery has."""

_NEVER_SET: Final = frozenset({"type", "uuid", "id", "hostname", "local_received", "utcoffset", "pid"})


def expires_at(heard_at: float, freq: float = _FREQ, expire_percent: float = EXPIRE_PERCENT) -> float:
    """Return the unix instant until which a node counts as alive that was heard at one.

    Args:
        freq: seconds between its heartbeats.
    """
    return heard_at + freq * expire_percent / 100


class Worker:
    """Be a node.

    Attributes:
        hostname: its name.
        pid: of its supervisor.
        freq: seconds between its heartbeats.
        heartbeats: unix instants at which the last of them were heard, the oldest first.
        clock: logical clock of its last event.
        active: tasks that it runs now; None while it has not said.
        processed: tasks that it has run.
        loadavg: of its machine.
        sw_ident, sw_ver, sw_sys: what it is: software, version, system.
    """

    heartbeat_max = HEARTBEATS_MAX
    expire_window = EXPIRE_PERCENT
    _fields: ClassVar = (
        *("hostname", "pid", "freq", "heartbeats", "clock", "active", "processed", "loadavg"),
        *("sw_ident", "sw_ver", "sw_sys"),
    )

    def __init__(
        self,
        hostname: str | None = None,
        pid: int | None = None,
        freq: float = _FREQ,
        heartbeats: Iterable[float] | None = None,
        clock: int = 0,
        active: int | None = None,
        processed: int | None = None,
        loadavg: Any = None,
        sw_ident: str | None = None,
        sw_ver: str | None = None,
        sw_sys: str | None = None,
    ) -> None:
        self.hostname = hostname
        self.pid = pid
        self.freq = freq
        self.heartbeats = deque(heartbeats or (), maxlen=self.heartbeat_max)
        self.clock = clock
        self.active = active
        self.processed = processed
        self.loadavg = loadavg
        self.sw_ident = sw_ident
        self.sw_ver = sw_ver
        self.sw_sys = sw_sys

    @property
    def id(self) -> str:
        """Its name and pid."""
        return f"{self.hostname}.{self.pid}"

    @property
    def heartbeat_expires(self) -> float:
        """The unix instant until which it counts as alive; 0.0 when it was never heard, or has gone."""
        return expires_at(self.heartbeats[-1], self.freq, self.expire_window) if self.heartbeats else 0.0

    @property
    def alive(self) -> bool:
        """Whether it was heard lately and has not said that it goes."""
        return bool(self.heartbeats) and time.time() < self.heartbeat_expires

    @property
    def status_string(self) -> str:
        """``ONLINE`` or ``OFFLINE``."""
        return "ONLINE" if self.alive else "OFFLINE"

    def update(self, f: Mapping[str, Any] | None = None, **fields: Any) -> None:
        """Take over fields that are known; what a short heartbeat leaves out keeps its value."""
        for name, value in {**(f or {}), **fields}.items():
            if name in self._fields and name not in ("hostname", "heartbeats") and value is not None:
                setattr(self, name, value)

    def event(
        self,
        type_: str,
        timestamp: float | None = None,
        local_received: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Take in an event: ``online``, ``heartbeat``, ``offline`` or another.

        Args:
            local_received: unix instant at which it was heard.
        """
        self.update(fields)
        if type_ == "offline":
            self.heartbeats.clear()
        elif local_received is not None and (not self.heartbeats or local_received > self.heartbeats[-1]):
            self.heartbeats.append(local_received)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Worker) and self.hostname == other.hostname

    def __hash__(self) -> int:
        return hash(self.hostname)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.hostname} ({self.status_string})>"


class Task:
    """Be one run, over all its attempts.

    Fields that events of programs have besides Celery's are attributes as well.

    Attributes:
        uuid: its id.
        state: of `celeriac.states`, or the upper-case name of a custom event: ``PROGRESS`` for ``task-progress``.
        worker: the node that spoke of it last, or None.
        client: the name of the program that has sent it, or None.
        sent, received, started, succeeded, failed, retried, revoked, rejected: unix instants, or None.
        timestamp: that of its last event.
        clock: logical clock of that.
    """

    _fields: ClassVar = (
        *("uuid", "name", "state", "received", "sent", "started", "rejected", "succeeded", "failed", "retried"),
        *("revoked", "args", "kwargs", "eta", "expires", "retries", "worker", "result", "exception", "timestamp"),
        *("runtime", "traceback", "exchange", "routing_key", "clock", "client", "root", "root_id", "parent"),
        *("parent_id", "children"),
    )
    _info_fields: ClassVar = (
        *("args", "kwargs", "retries", "result", "eta", "runtime", "expires", "exception", "exchange"),
        *("routing_key", "root_id", "parent_id"),
    )
    merge_rules: ClassVar[Mapping[str, tuple[str, ...]]] = {
        RECEIVED: ("name", "args", "kwargs", "parent_id", "root_id", "retries", "eta", "expires"),
    }
    """What an event may still fill in that comes late, by the state that it stands for."""

    name: str | None = None
    state: str = PENDING
    received: float | None = None
    sent: float | None = None
    started: float | None = None
    rejected: float | None = None
    succeeded: float | None = None
    failed: float | None = None
    retried: float | None = None
    revoked: float | None = None
    args: str | None = None
    kwargs: str | None = None
    eta: str | None = None
    expires: str | None = None
    retries: int | None = None
    worker: Worker | None = None
    result: str | None = None
    exception: str | None = None
    timestamp: float | None = None
    runtime: float | None = None
    traceback: str | None = None
    exchange: str | None = None
    routing_key: str | None = None
    clock: int = 0
    client: str | None = None
    root_id: str | None = None
    parent_id: str | None = None

    _states: ClassVar[Mapping[str, tuple[str, str]]] = {
        "sent": (PENDING, "sent"),
        "received": (RECEIVED, "received"),
        "started": (STARTED, "started"),
        "failed": (FAILURE, "failed"),
        "retried": (RETRY, "retried"),
        "succeeded": (SUCCESS, "succeeded"),
        "revoked": (REVOKED, "revoked"),
        "rejected": (REJECTED, "rejected"),
    }

    def __init__(
        self,
        uuid: str | None = None,
        cluster_state: State | None = None,
        children: Iterable[Task] | None = None,
        **fields: Any,
    ) -> None:
        self.uuid = uuid
        self.cluster_state = cluster_state
        self.children: weakref.WeakSet[Task] = weakref.WeakSet(children or ())
        self._others = 0
        for name, value in fields.items():
            self._set(name, value)

    @property
    def id(self) -> str | None:
        """Its id."""
        return self.uuid

    @property
    def ready(self) -> bool:
        """Whether it has ended."""
        return self.state in READY_STATES

    @property
    def origin(self) -> str | None:
        """Who has spoken of it last: the id of a node, or the name of a program."""
        return self.client if self.worker is None else self.worker.id

    @property
    def parent(self) -> Task | None:
        """The run that has sent it, if that is known."""
        return self._known(self.parent_id)

    @property
    def root(self) -> Task | None:
        """The run that it all began with, if that is known."""
        return self._known(self.root_id)

    def _known(self, uuid: str | None) -> Task | None:
        tasks = None if self.cluster_state is None else self.cluster_state.tasks
        return None if uuid is None or tasks is None else tasks.get(uuid)

    def event(
        self,
        type_: str,
        timestamp: float | None = None,
        local_received: float | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Take in an event. What comes late, after one of a more telling state, changes the state no more.

        Args:
            type_: its type without the group, such as ``started``.
        """
        state, instant = self._states.get(type_, (type_.upper(), None))
        if instant is not None:
            setattr(self, instant, timestamp)
        fields = fields or {}
        if self._is_older(state):
            kept = self.merge_rules.get(state, ())
            fields = {name: fields[name] for name in kept if name in fields}
        else:
            self.state, self.timestamp = state, timestamp
            # The body of a run has a clock of its own, which is behind that of its node.
            fields = {**fields, "clock": max(self.clock, fields.get("clock") or 0)}
        for name, value in fields.items():
            self._set(name, value)

    def _is_older(self, state: str) -> bool:
        return state != RETRY and self.state != RETRY and precedence(state) > precedence(self.state)

    def _set(self, name: str, value: Any) -> None:
        if name in _NEVER_SET or name.startswith("_"):
            return
        if name not in self._fields and name not in vars(self):
            # A field of a program's own: not in the way of what a task can do, and not without end.
            if hasattr(type(self), name) or not name.isidentifier() or self._others >= _OTHERS_MAX:
                return
            self._others += 1
        if name not in ("root", "parent", "children"):
            setattr(self, name, value)

    def info(self, fields: Iterable[str] | None = None, extra: Iterable[str] = ()) -> dict[str, Any]:
        """Return what is known and worth to be shown.

        Args:
            fields: names of what to show; None are arguments, result and where it went.
            extra: names to add.
        """
        names = [*(self._info_fields if fields is None else fields), *extra]
        found = {name: getattr(self, name, None) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def as_dict(self) -> dict[str, Any]:
        """Return all fields; parent, root and children as ids."""
        found = {name: getattr(self, name) for name in self._fields}
        return {
            **found,
            "worker": None if self.worker is None else self.worker.hostname,
            "root": self.root_id,
            "parent": self.parent_id,
            "children": [child.uuid for child in self.children],
        }

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.name}({self.uuid}) {self.state} clock:{self.clock}>"
