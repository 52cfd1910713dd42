from __future__ import annotations

from typing import Any

import pytest

from celeriac import Celery
from celeriac.worker.announcing import Announcer
from celeriac.worker.node_signals import NodeSignals
from celeriac.worker.shutdown import EXIT_DONE, EXIT_FAILED, EXIT_RESTART, Shutdown
from celeriac.worker.start import Plan


class Node:
    """Be a node that stops; `said` has what is told and done meanwhile, in order."""

    def __init__(self, **plan: Any) -> None:
        conf = Celery("shop", set_as_current=False).conf
        self.said: list[str] = []
        decided = Plan(
            node="w1@here",
            queues=("celery",),
            capacities=(1,),
            dispatch="adaptive",
            prefetch_multiplier=None,
            stop_grace=plan.pop("stop_grace", 60.0),
            accept=conf.accept,
            form=conf.record_form,
            say_ready=lambda: None,
            say=self.said.append,
            **plan,
        )
        self.shutdown = Shutdown(
            decided,
            NodeSignals(None, Announcer()),
            begin_no_more=lambda: self.said.append("nothing begins any more"),
            kill=lambda: self.said.append("killed"),
        )


@pytest.fixture
def node() -> Node:
    return Node()


def test_nothing_begins_any_more_when_a_warm_stop_is_told(node: Node):
    node.shutdown._note_stop_signal("SIGTERM")

    assert node.said[0] == "nothing begins any more"
    assert node.said[1].startswith("SIGTERM: warm shutdown; running tasks have up to 60 s")
    assert (node.shutdown.begun.is_set(), node.shutdown.cold.is_set()) == (True, False)
    assert node.shutdown.exit_code == EXIT_DONE


def test_a_second_signal_turns_the_stop_cold_and_fails_it(node: Node):
    node.shutdown._note_stop_signal("SIGTERM")
    node.shutdown._note_stop_signal("SIGTERM")

    assert node.shutdown.cold.is_set()
    assert node.shutdown.exit_code == EXIT_FAILED


def test_who_stops_already_does_not_restart(node: Node):
    node.shutdown.stop()

    node.shutdown.restart("pool_restart")

    assert node.shutdown.exit_code == EXIT_DONE


@pytest.mark.parametrize(("running", "code"), [(0, EXIT_DONE), (2, EXIT_FAILED)])
def test_a_stop_that_kills_what_runs_has_failed(node: Node, running: int, code: int):
    node.shutdown.stop()

    node.shutdown.note_late(running)

    assert node.shutdown.exit_code == code


def test_a_restart_stays_one_though_tasks_are_late(node: Node):
    node.shutdown.restart("SIGHUP")

    node.shutdown.note_late(2)

    assert node.shutdown.exit_code == EXIT_RESTART


def test_sighup_of_a_terminal_that_has_gone_stops_and_of_others_restarts(node: Node):
    at_terminal = Node(has_terminal=True)

    node.shutdown._note_hangup()
    at_terminal.shutdown._note_hangup()

    assert (node.shutdown.exit_code, at_terminal.shutdown.exit_code) == (EXIT_RESTART, EXIT_DONE)
    assert at_terminal.shutdown.begun.is_set()


def test_what_runs_has_the_time_of_a_soft_stop_and_no_grace_after_it():
    soft = Node(stop_grace=0.0, soft_stop=60.0)
    warm = Node(stop_grace=0.0)
    for node in (soft, warm):
        node.shutdown._note_stop_signal("SIGTERM")
    soft.shutdown._note_stop_signal("SIGTERM")

    for node in (soft, warm):
        node.shutdown.begin_grace()

    assert (soft.shutdown.is_over, warm.shutdown.is_over) == (False, True)


def test_without_a_grace_what_runs_may_take_as_long_as_it_does():
    node = Node(stop_grace=None)

    node.shutdown.begin_grace()

    assert not node.shutdown.is_over
