"""What people may see of a node: what runs, what waits, its numbers. Read only, and put together when asked for."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, Final

import msgspec

from celeriac.app.application import Celery
from celeriac.app.hiding import shown_arguments
from celeriac.exceptions import CeleriacError
from celeriac.masking import masked_url
from celeriac.message import Message
from celeriac.wire.protocol import read_request
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.serializers import JSON_CONTENT
from celeriac.worker.autoscale import Autoscaler
from celeriac.worker.dispatch import Durations, Strategy
from celeriac.worker.held import Held, Holdings
from celeriac.worker.recycling import Recycling
from celeriac.worker.slots import Slots

_NONE: Final = "N/A"
_RUSAGE: Final = (
    *("utime", "stime", "maxrss", "ixrss", "idrss", "isrss", "minflt", "majflt"),
    *("nswap", "inblock", "oublock", "msgsnd", "msgrcv", "nsignals", "nvcsw", "nivcsw"),
)


class Seen(msgspec.Struct, frozen=True):
    """See one message that a node holds.

    Attributes:
        pid: of the process that runs it; None while it waits.
    """

    held: Held
    pid: int | None = None

    @property
    def id(self) -> str:
        """The task's id."""
        return self.held.intake.id


class View:
    """See a node as Celery's monitors do.

    Args:
        node: its name.
        pool: the class of its pool, for people.
        prefetch_multiplier: as in `Plan`.
        autoscaler: chooses how many bodies there are; None: nothing does.
    """

    def __init__(
        self,
        app: Celery,
        node: str,
        *,
        holdings: Holdings,
        slots: Slots,
        durations: Durations,
        strategy: Strategy,
        strategy_name: str,
        pool: str,
        prefetch_multiplier: int | None,
        recycling: Recycling | None,
        autoscaler: Autoscaler | None = None,
    ) -> None:
        self._app = app
        self._node = node
        self._holdings = holdings
        self._slots = slots
        self._durations = durations
        self._strategy = strategy
        self._strategy_name = strategy_name
        self._pool = pool
        self._prefetch_multiplier = prefetch_multiplier
        self._recycling = recycling
        self._autoscaler = autoscaler
        self._began_at = time.monotonic()

    def held(self) -> list[Held]:
        """Return what is held."""
        return self._holdings.all()

    def running_now(self) -> list[Held]:
        """Return what runs now, without the processes."""
        return [seen.held for seen in self.running()]

    # -- messages -----------------------------------------------------------------------------------------------

    def running(self) -> list[Seen]:
        """Return what runs now. A child runs the first of those that it was sent, as many as it has bodies."""
        return [
            Seen(held, child.pid)
            for child in self._slots.crew()
            for held in list(child.sent.values())[: child.slot.capacity]
            if held.ended is None
        ]

    def waiting(self) -> list[Seen]:
        """Return what was claimed and does not run yet."""
        running = {seen.held.number for seen in self.running()}
        ended = {held.number for held in self._slots.with_children() if held.ended is not None}
        held_now = self._holdings.all()
        return [Seen(held) for held in held_now if held.number not in running and held.number not in ended]

    def info(self, seen: Seen, *, safe: bool = False) -> dict[str, Any]:
        """Describe a message as Celery does.

        Args:
            safe: show the arguments as text, as their sender has described them.
        """
        held = seen.held
        began_at = _wall_time(held.began_at) if seen.pid is not None else None
        info = self.info_of(held.delivery.message, safe=safe, redelivered=held.delivery.redelivered)
        return {**info, "time_start": began_at, "acknowledged": held.acked, "worker_pid": seen.pid}

    def info_of(self, message: Message, *, safe: bool = False, redelivered: bool = False) -> dict[str, Any]:
        """Describe a message that nobody has begun; see `info`."""
        told = _told_by(message.headers)
        name, args, kwargs = self._shown(message, told, safe=safe)
        return {
            "id": message.task_id,
            "name": name,
            "args": args,
            "kwargs": kwargs,
            "type": told.task or name,
            "hostname": self._node,
            "time_start": None,
            "acknowledged": False,
            "delivery_info": {
                "exchange": "",
                "routing_key": message.queue,
                "priority": message.priority,
                "redelivered": redelivered,
            },
            "worker_pid": None,
        }

    def _shown(self, message: Message, told: _Told, *, safe: bool) -> tuple[str, Any, Any]:
        """Return the name and the arguments of a run as people may see them; pickles are never opened for it."""
        if message.content_type != JSON_CONTENT:
            return told.shadow or told.task, told.argsrepr or "", told.kwargsrepr or ""
        try:
            request = read_request(message, limits=self._app.conf.limits)
        except CeleriacError as exc:
            return told.task, f"({exc})"[:200], "{}"
        name = request.shadow or request.task
        args, kwargs = shown_arguments(self._app.tasks.get(request.task), request.args, request.kwargs)
        if safe:
            return name, request.argsrepr or bounded_repr(tuple(args)), request.kwargsrepr or bounded_repr(kwargs)
        return name, list(args), dict(kwargs)

    # -- numbers ------------------------------------------------------------------------------------------------

    def stats(self) -> dict[str, Any]:
        """Return the numbers that Celery's workers tell of themselves."""
        return {
            "total": self.totals(),
            "pid": os.getpid(),
            "clock": str(self._app.clock.value),
            "uptime": int(time.monotonic() - self._began_at),
            "pool": self._pool_stats(),
            **({} if self._autoscaler is None else {"autoscaler": self._autoscaler.info()}),
            "broker": broker_stats(self._app.broker.url),
            "prefetch_count": self._prefetch_count(),
            "rusage": _rusage(),
        }

    def totals(self) -> dict[str, int]:
        """Return how many runs of each task have begun here."""
        found = dict(self._durations.totals())
        for seen in self.running():
            name = seen.held.intake.task
            found[name] = found.get(name, 0) + 1
        return found

    def _pool_stats(self) -> dict[str, Any]:
        crew = [child for child in self._slots.crew() if not child.is_alone]
        most = self._recycling.max_tasks if self._recycling is not None else None
        total = sum(self.totals().values())
        conf = self._app.conf
        return {
            "implementation": self._pool,
            "max-concurrency": sum(self._slots.capacities),
            "processes": [child.pid for child in crew if child.pid],
            "max-tasks-per-child": _NONE if most is None else most,
            "put-guarded-by-semaphore": False,
            "timeouts": [conf.task_soft_time_limit or 0, conf.task_time_limit or 0],
            "writes": {
                "total": total,
                "avg": f"{1 / len(crew) if crew else 0:.2f}",
                "all": "",
                "raw": "",
                "strategy": self._strategy_name,
                "inqueues": {"total": len(crew), "active": sum(1 for child in crew if child.sent)},
            },
        }

    def _prefetch_count(self) -> int:
        slots = self._slots.slots
        if self._prefetch_multiplier is None:
            return self._strategy.prefetch(slots, self._durations.mean, time.monotonic())
        return sum(slot.capacity for slot in slots) * self._prefetch_multiplier


def broker_stats(url: str) -> dict[str, Any]:
    """Describe a broker as kombu does, without its password."""
    from urllib.parse import urlsplit  # only where somebody asks

    parts = urlsplit(masked_url(url).split(";")[0])
    try:
        port = parts.port
    except ValueError:
        port = None
    return {
        "hostname": parts.hostname,
        "userid": parts.username or None,
        "virtual_host": parts.path.strip("/") or "/",
        "port": port,
        "insist": False,
        "ssl": parts.scheme == "rediss",
        "transport": parts.scheme.removesuffix("s") if parts.scheme == "rediss" else parts.scheme,
        "connect_timeout": 4,
        "transport_options": {},
        "login_method": None,
        "uri_prefix": None,
        "heartbeat": 0.0,
        "failover_strategy": "round-robin",
        "alternates": [],
        "credential_provider": None,
    }


class _Told(msgspec.Struct, gc=False):
    task: str = ""
    shadow: str | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None


_read_told: Final = msgspec.json.Decoder(_Told).decode


def _told_by(headers: bytes) -> _Told:
    """Return what the sender has said of a call, as far as it can be read."""
    try:
        return _read_told(headers)
    except (msgspec.MsgspecError, RecursionError):
        return _Told()


def _wall_time(monotonic: float) -> float:
    return time.time() - (time.monotonic() - monotonic)


def _rusage() -> dict[str, Any] | str:
    if sys.platform == "win32":
        return _NONE
    import resource  # which is not there

    used = resource.getrusage(resource.RUSAGE_SELF)
    return {name: getattr(used, f"ru_{name}") for name in _RUSAGE}
