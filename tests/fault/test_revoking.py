"""Thousands of runs are revoked at random moments: those revoked before they begin never do, and each has one end."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.integration.project import PATIENCE, Project, wait_until
from tests.size import scaled

pytestmark = pytest.mark.fault


def test_each_revoked_run_ends_once_and_those_revoked_in_time_never_begin(project: Project) -> None:
    count = scaled(10_000)
    results = [project.call("noted", f"n{number}", 0.01) for number in range(count)]
    order = random.Random(7).sample(results, count)
    early, late, spared = order[: count // 2], order[count // 2 : count * 3 // 4], order[count * 3 // 4 :]
    control = project.app.control
    control.revoke(early[: count // 4])
    for result in early[count // 4 :]:
        result.revoke()

    first = project.start("-c", "2")
    second = project.start("-c", "2", name="w2")
    for at, result in enumerate(late):
        if at % 2:
            result.revoke()
        else:
            result.cancel("at random")
        if at == len(late) // 2:
            first.stop()
            first = project.start("-c", "2")
    wait_until(project.is_empty, within=4 * PATIENCE)
    states = {name: record["status"] for name, record in project.store.results().items()}
    runs = project.runs()

    names = {result.id: f"n{number}" for number, result in enumerate(results)}

    def of(chosen: list[Any]) -> list[tuple[str, int]]:
        return [(states[one.id], runs[names[one.id]]) for one in chosen]

    assert set(of(early)) == {("REVOKED", 0)}
    assert set(of(spared)) == {("SUCCESS", 1)}
    assert set(of(late[1::2])) <= {("REVOKED", 0), ("SUCCESS", 1)}
    # A cancelled one may have begun; then it has ended by that, or before.
    assert set(of(late[::2])) <= {("REVOKED", 0), ("SUCCESS", 1), ("REVOKED", 1)}
    first.stop()
    second.stop()
    project.assert_clean()
