"""How many processors this process may use."""

from __future__ import annotations

import math
import os
from pathlib import Path


def usable_cpus() -> int:
    """Count the CPUs that this process may use: those of its affinity, and no more than its cgroup's quota."""
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:
        count = os.cpu_count() or 1
    return max(1, min(count, math.ceil(cgroup_quota(Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")))))


def cgroup_quota(root: Path, membership: Path) -> float:
    """Return the CPUs that cgroup v2 allows this process, by its own group or one above; 1e9 without a limit."""
    try:
        own = next(line[3:] for line in membership.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return 1e9
    quota = 1e9
    group = root / own.strip("/")
    for folder in (group, *group.parents):
        try:
            limit, period = (folder / "cpu.max").read_text().split()
        except (OSError, ValueError):
            continue
        if limit != "max":
            quota = min(quota, int(limit) / int(period))
    return quota
