from __future__ import annotations

from pathlib import Path

import pytest

from celeriac.worker.cpus import cgroup_quota, usable_cpus


def test_there_is_a_cpu_to_use():
    assert usable_cpus() >= 1


@pytest.fixture
def groups(tmp_path: Path):
    """A tree of cgroups, and this process's membership in the innermost."""

    def make(**limits: str) -> tuple[Path, Path]:
        for name, limit in limits.items():
            folder = tmp_path / "root" / name.replace("_", "/")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "cpu.max").write_text(limit)
        membership = tmp_path / "membership"
        membership.write_text("12:cpu:/old\n0::/pod/app\n")
        return tmp_path / "root", membership

    return make


def test_a_quota_is_in_cpus(groups):
    assert cgroup_quota(*groups(pod_app="150000 100000")) == 1.5


def test_the_smallest_quota_on_the_way_up_holds(groups):
    assert cgroup_quota(*groups(pod="50000 100000", pod_app="400000 100000")) == 0.5


@pytest.mark.parametrize("limit", ["max 100000", "nonsense", ""])
def test_no_quota_is_no_bound(groups, limit):
    assert cgroup_quota(*groups(pod_app=limit)) > 1_000_000


def test_a_machine_without_cgroups_has_no_bound(tmp_path: Path):
    assert cgroup_quota(tmp_path, tmp_path / "nothing") > 1_000_000
