from __future__ import annotations

import contextlib
import threading

import pytest

from celeriac.worker import packets
from celeriac.worker.channel import Channel
from celeriac.worker.runs import ARE_YOU_THERE, READY, Outcome, decode_outcome


@pytest.fixture
def ends():
    ours, theirs = packets.pair()
    yield ours, theirs
    ours.close()
    theirs.close()


def fill(channel: Channel) -> int:
    """Send outcomes until there is no room; return how many."""
    sent = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            channel.send(Outcome(sent + 1, "SUCCESS", None, 0, 0.0))
            sent += 1
    return sent


def read_now(channel: Channel) -> None:
    with contextlib.suppress(BlockingIOError):
        channel.receive(packets.DONT_WAIT)


def test_a_question_is_answered_and_is_no_run(ends):
    ours, theirs = ends
    packets.send(ours, ARE_YOU_THERE)

    with pytest.raises(BlockingIOError):
        Channel(theirs).receive(packets.DONT_WAIT)

    assert decode_outcome(packets.receive(ours)).number == READY


def test_the_answer_waits_for_room_where_an_event_loop_has_made_the_end_non_blocking(ends):
    packets.receive_in_threads()
    ours, theirs = ends
    channel = Channel(theirs)
    theirs.setblocking(False)
    sent = fill(channel)
    packets.send(ours, ARE_YOU_THERE)
    answering = threading.Thread(target=read_now, args=(channel,), daemon=True)
    answering.start()

    numbers = [decode_outcome(packets.receive(ours)).number for _ in range(sent + 1)]

    answering.join(60)
    assert numbers == [*range(1, sent + 1), READY]


def test_the_end_is_no_run(ends):
    ours, theirs = ends
    ours.close()

    assert Channel(theirs).receive() is None
