"""Nodes that choose how many tasks they run at once."""

from __future__ import annotations

from functools import partial

import pytest

from tests.golden import vector
from tests.integration.project import PATIENCE, Project, wait_until
from tests.integration.test_control import asked

pytestmark = pytest.mark.timeout(180)

POOLS = pytest.mark.parametrize(
    "pool", [("-P", "prefork"), ("-P", "threads", "--processes", "2"), ("-P", "asyncio")], ids=lambda pool: pool[1]
)


# A node may begin to listen a moment after it has said that it is ready: what it has not heard is said again soon.
told = partial(asked, timeout=2.0)


def size(project: Project) -> int:
    current: int = told(project, "stats")["autoscaler"]["current"]
    return current


@POOLS
def test_a_node_grows_while_messages_wait_and_shrinks_again(project: Project, pool: tuple[str, ...]):
    node = project.start(*pool, "--autoscale=4,1", AUTOSCALE_KEEPALIVE="0.5")
    before = told(project, "stats")["autoscaler"]
    tasks = [project.call("gated", f"gated-{number}", "gate") for number in range(6)]

    wait_until(lambda: len(project.runs()) == 4, what=f"four runs at once\n{node.log_end}")
    grown = told(project, "stats")
    assert grown["autoscaler"]["current"] == grown["pool"]["max-concurrency"] == 4
    project.open_gate("gate")
    for task in tasks:
        task.get(timeout=PATIENCE)
    wait_until(lambda: size(project) == 1, what=f"a small node\n{node.log_end}")

    assert before == {"max": 4, "min": 1, "current": 1, "qty": 0}
    assert project.runs() == {f"gated-{number}": 1 for number in range(6)}
    assert project.call("echo", "after").get(timeout=PATIENCE) == "after"
    assert node.stop() == 0
    project.assert_clean()


@pytest.mark.engines("sqlite")
def test_nothing_is_lost_or_repeated_while_it_grows_and_shrinks(project: Project):
    project.start("--autoscale=4,0", AUTOSCALE_KEEPALIVE="0.05")
    tasks = []

    for wave in range(4):
        # Long ones in all bodies make it grow; the short ones that wait behind them run while it shrinks.
        tasks += [project.call("gated", f"long-{wave}-{number}", f"gate-{wave}") for number in range(4)]
        tasks += [project.call("noted", f"short-{wave}-{number}", 0.01) for number in range(40)]
        wait_until(lambda: size(project) == 4)
        assert told(project, "autoscale", max=2, min=1) == {"ok": "autoscale now max=2 min=1"}
        project.open_gate(f"gate-{wave}")
        assert told(project, "autoscale", max=4, min=0) == {"ok": "autoscale now max=4 min=0"}
    for task in tasks:
        task.get(timeout=PATIENCE)
    wait_until(lambda: size(project) == 1)

    assert sorted(project.runs().values()) == [1] * 4 * 44


@pytest.mark.engines("sqlite")
def test_it_answers_in_celerys_words(project: Project):
    project.start("--autoscale=1,4")

    for name in ("control-autoscale-ok", "control-pool-grow-autoscale", "control-inspect-stats-autoscale"):
        captured = vector.load(name)
        said = captured["request"]["decoded"]["body"]
        [theirs] = captured["reply"]["decoded"]["body"].values()
        ours = told(project, said["method"], **said["arguments"])
        if "stats" not in name:
            assert ours == theirs
            continue
        assert list(ours) == list(theirs)
        assert ours["autoscaler"] == theirs["autoscaler"]

    assert told(project, "pool_shrink")["error"].startswith("pool_shrink is not supported with autoscale")
    assert "min must be from 0 to max" in told(project, "autoscale", max=1, min=2)["error"]
    assert "unexpected keyword argument" in told(project, "autoscale", most=1)["error"]


OWN = """
from celeriac.worker.autoscale import Autoscaler


class Eager(Autoscaler):
    def _maybe_scale(self, req=None):
        if self.processes < self.max_concurrency:
            self.scale_up(self.max_concurrency - self.processes)
"""


@pytest.mark.engines("sqlite")
def test_a_class_of_the_project_decides_instead(project: Project):
    (project.folder / "scaling.py").write_text(OWN)
    project.start("--autoscale=3", "worker_autoscaler=scaling:Eager")

    wait_until(lambda: size(project) == 3)
    assert project.call("echo", 1).get(timeout=PATIENCE) == 1


@pytest.mark.engines("sqlite")
def test_a_pool_that_runs_one_task_refuses(project: Project):
    node = project.start("--autoscale=3", "-P", "solo", ready=False)

    assert node.wait_exit() != 0
    assert "the pool solo runs one task at a time" in node.log
