from __future__ import annotations

import os
import socket

from celeriac.compat.nodenames import (
    anon_nodename,
    default_nodename,
    gethostname,
    host_format,
    node_format,
    nodename,
    nodesplit,
)


def test_a_name_is_made_and_split():
    assert nodename("w1", "host.example") == "w1@host.example"
    assert nodesplit("w1@host.example") == ("w1", "host.example")
    assert nodesplit("host.example") == (None, "host.example")


def test_a_part_that_is_missing_has_a_default():
    assert gethostname() == socket.gethostname()
    assert default_nodename("host") == "celery@host"
    assert default_nodename("w1@host") == "w1@host"
    assert default_nodename(None, "beat") == f"beat@{socket.gethostname()}"
    assert anon_nodename("host") == f"gen{os.getpid()}@host"


def test_parts_of_a_name_are_written_into_text():
    assert host_format("%h %n %d", "w1.example.org") == "w1.example.org w1 example.org"
    assert node_format("%n-%i.log of %p", "w1@host") == "w1-0.log of w1@host"
