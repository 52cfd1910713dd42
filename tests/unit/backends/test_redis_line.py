from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from celeriac.backends.redis.line import Line


@pytest.fixture
def ends() -> Iterator[tuple[Line, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Line(ours, resp3=True, patience=5.0), theirs


def hear(line: Line, theirs: socket.socket) -> None:
    """Have an answer come at once."""
    line.note_asked()
    theirs.send(b"x")
    assert line.read() == b"x"
    line.heard_at = line.asked_at
    line.note_found()


def test_who_was_answered_soon_stays_awake_for_the_next_answer(ends: tuple[Line, socket.socket]):
    line, theirs = ends
    hear(line, theirs)
    line._spin_until = 0.0
    line.note_asked()
    line._spin_until += 10.0  # a slow machine must not make the wait end before the answer
    answer = threading.Timer(0.005, theirs.send, (b"y",))
    answer.start()

    awake = line.is_readable(0.0)

    answer.join()
    assert awake


def test_who_had_to_wait_sleeps(ends: tuple[Line, socket.socket]):
    line, _ = ends
    line.note_asked()
    line.heard_at = line.asked_at + 1.0
    line.note_found()

    line.note_asked()

    assert line._spin_until == 0.0
    assert not line.is_readable(0.0)


def test_nobody_stays_awake_when_all_have_what_they_waited_for(ends: tuple[Line, socket.socket]):
    line, theirs = ends
    hear(line, theirs)

    hear(line, theirs)

    assert line._spin_until == 0.0
