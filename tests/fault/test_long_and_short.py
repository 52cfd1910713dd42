"""Nothing short waits behind something long."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

import pytest

from tests.integration.project import Project
from tests.size import scaled

pytestmark = [pytest.mark.fault, pytest.mark.serial]

SHORT = scaled(1_000)
OVERTAKEN = SHORT // 2
"""How far from its place in the queue a short run may begin. Behind the long one it would come last of all: the gate
opens only after the others."""


def order_of_starts(project: Project) -> list[str]:
    return [words[1] for words in project.notes if words[0] == "began" and words[1] != "long"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("known", [False, True], ids=["unknown tasks", "tasks known to be short"])
@pytest.mark.parametrize("long", ["gated", "perhaps_gated"], ids=["another task", "the same task"])
@pytest.mark.parametrize("place", [0, SHORT // 2], ids=["first", "amid"])
def test_no_short_task_waits_behind_a_long_one(project: Project, known, long, place):
    """The long one ends only when every short one has, so a single one behind it would wait for ever."""
    node = project.start()
    if known:
        for call in [project.call("perhaps_gated", f"warm-{number}", None) for number in range(50)]:
            call.get(timeout=60)
    short = [project.call("perhaps_gated", f"short-{number}", None) for number in range(place)]
    long_one = project.call(long, "long", "gate")
    short += [project.call("perhaps_gated", f"short-{number}", None) for number in range(place, SHORT)]

    for call in short:
        call.get(timeout=60)

    assert long_one.state == "PENDING"
    order = [name for name in order_of_starts(project) if name.startswith("short")]
    late = [number - int(name.removeprefix("short-")) for number, name in enumerate(order)]
    assert len(order) == SHORT, "each ran once"
    assert max(late) <= OVERTAKEN, f"{late.index(max(late))} was overtaken by {max(late)}"
    project.open_gate("gate")
    long_one.get(timeout=60)
    assert node.stop() == 0
    project.assert_clean()


@pytest.mark.timeout(300)
def test_a_node_full_of_long_tasks_leaves_the_rest_to_others(project: Project):
    """What was claimed and cannot start goes back, so that a node that comes later takes it."""
    full = project.start("--prefetch-multiplier", "20", name="full")
    for number in range(2):
        project.call("gated", f"long-{number}", "gate")
    for number in range(2):
        project.wait_begun(f"long-{number}")
    calls = [project.call("noted", f"short-{number}") for number in range(20)]
    looks = [held for held, _ in groupby(project.held_by(full) for _ in until_beats(project, 3))]

    project.start(name="free")

    for call in calls:
        call.get(timeout=60)
    assert looks.count(22) <= 1, "what it gave back it does not take again while it has no slot for it"
    assert looks[-1] == 2
    assert {kept.accounts[2:] for kept in project.kept()} == {(0, 0, 0)}


def until_beats(project: Project, count: int) -> Iterator[None]:
    """Go on looking until the nodes have raised their leases so often."""
    enough = project.store.beats() + count
    while project.store.beats() < enough:
        yield
