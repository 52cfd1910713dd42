"""Where the figures are taken, and how much of it others took meanwhile."""

from __future__ import annotations

import os
import platform
import resource
import sqlite3
import time
from pathlib import Path

import psutil

from bench import rabbitmq_server, redis_server
from bench.contest import Ring
from bench.processes import cpu_seconds, descendants


class Neighbours:
    """Watch, from when it is made, what the machine does that this run did not ask for."""

    def __init__(self) -> None:
        self._begun_at = time.monotonic()
        self._before = _busy_seconds() - _own_seconds()

    def cores(self) -> float:
        """Return how many cores others have kept busy on average."""
        theirs = _busy_seconds() - _own_seconds() - self._before
        return max(0.0, theirs / (time.monotonic() - self._begun_at))


def describe(here: Ring) -> str:
    """Say what the figures depend on."""
    servers = [
        f"Redis {redis_server.version()} on loopback without persistence" if "redis" in here.ports else "no Redis",
        f"RabbitMQ {rabbitmq_server.version()} on loopback" if "rabbitmq" in here.ports else "no RabbitMQ",
    ]
    return (
        f"{os.cpu_count()} CPUs ({platform.machine()}), {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version} on {_file_system(here.folder)}, "
        f"{', '.join(servers)}"
    )


def _busy_seconds() -> float:
    times = psutil.cpu_times()._asdict()
    return float(sum(times[kind] for kind in ("user", "system", "nice", "irq", "softirq", "steal") if kind in times))


def _own_seconds() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    ended = sum(usage.ru_utime + usage.ru_stime for usage in usages)
    return ended + cpu_seconds(descendants(os.getpid()))


def _file_system(folder: Path) -> str:
    mounts = [one for one in psutil.disk_partitions(all=True) if folder.is_relative_to(one.mountpoint)]
    return max(mounts, key=lambda one: len(one.mountpoint)).fstype if mounts else "an unknown file system"
