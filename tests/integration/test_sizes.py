"""Arguments and results of any size go through, up to the limit and exactly at every edge."""

from __future__ import annotations

import pytest

from celeriac.exceptions import MessageTooLarge
from celeriac.worker.packets import MAX_PACKET
from celeriac.worker.runs import Run, encode
from tests.integration.project import Project

MIB = 1024 * 1024


def test_arguments_and_results_of_a_megabyte_go_through(project: Project):
    project.start()

    assert project.call("echo", "x" * MIB).get(timeout=60) == "x" * MIB
    assert project.call("size_of", "x" * MIB).get(timeout=60) == MIB
    assert len(project.call("letters", MIB).get(timeout=60)) == MIB


def test_many_large_messages_at_once_go_through(project: Project):
    node = project.start()
    calls = [project.call("echo", "x" * MIB) for _ in range(30)]

    assert all(len(call.get(timeout=60)) == MIB for call in calls)
    assert node.stop() == 0
    project.assert_clean()


@pytest.mark.parametrize("size", [MAX_PACKET - 1, MAX_PACKET, MAX_PACKET + 1])
def test_a_packet_to_a_child_goes_through_at_the_edge_of_its_size(project: Project, size):
    project.start()
    text = "x" * (MAX_PACKET - 4096)
    text += "x" * (size - packet_size(project, text))
    assert packet_size(project, text) == size

    assert project.call("size_of", text).get(timeout=60) == len(text)


def packet_size(project: Project, text: str) -> int:
    """Return the size of the first packet that a node makes of such a call."""
    message = project.app.builder.build("tasks.size_of", [text], {})
    return len(encode(Run(number=1, message=message, redelivered=False, crashes=0)))


def test_outcomes_of_a_child_go_through_at_every_edge_of_their_size(project: Project):
    project.start()

    for size in range(MAX_PACKET - 520, MAX_PACKET + 8, 3):
        assert len(project.call("letters", size).get(timeout=60)) == size


def test_a_message_over_the_limit_is_refused_at_the_call(project: Project):
    with pytest.raises(MessageTooLarge, match="message_max_bytes"):
        project.call("size_of", "x" * 17 * MIB)

    assert project.is_empty()


def test_a_message_just_under_the_limit_runs(project: Project):
    project.start()
    size = 16 * MIB - 4096

    assert project.call("size_of", "x" * size).get(timeout=60) == size


def test_the_limit_of_a_project_holds_for_calls_and_for_what_lies_in_the_table(project: Project):
    project.use_also("app.conf.update(message_max_bytes=2048)")
    node = project.start()

    result = project.call("size_of", "x" * 4096)  # this test's own app has the usual limit

    with pytest.raises(MessageTooLarge, match="2,048"):
        result.get(timeout=60)
    assert project.call("add", 1, 2).get(timeout=60) == 3
    assert node.stop() == 0


def test_a_result_larger_than_any_message_is_kept(project: Project):
    project.start()

    assert len(project.call("letters", 20 * MIB).get(timeout=60)) == 20 * MIB
