from __future__ import annotations

import errno
import os
import socket

import pytest

from celeriac.worker import packets
from celeriac.worker.forkserver import Died, ForkServer, ForkServerHandle, Spawn


def test_a_child_that_cannot_be_started_has_died_and_the_others_live_on(monkeypatch: pytest.MonkeyPatch, capsys):
    def no_process_left() -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    ours, theirs = packets.pair()
    server = ForkServer(theirs, lambda place, capacity, end, line: 0, [], before_spawn=lambda: None)
    end, line = (one.detach() for one in socket.socketpair())
    monkeypatch.setattr(os, "fork", no_process_left)

    server._spawn(Spawn(3, 0, 1), end, line)

    [notice] = ForkServerHandle(ours).notices() or []
    assert isinstance(notice, Died)
    assert (notice.slot, os.waitstatus_to_exitcode(notice.status)) == (3, 1)
    assert "Resource temporarily unavailable" in capsys.readouterr().err
    for descriptor in (end, line):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    ours.close()
    theirs.close()
