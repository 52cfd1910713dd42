from __future__ import annotations

import pytest

from celeriac.worker.names import file_name, node_name


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (None, "celery@pool.example.org"),
        ("w1", "w1@pool.example.org"),
        ("w1@%h", "w1@pool.example.org"),
        ("w1@%n", "w1@pool"),
        ("w1.%d", "w1.example.org@pool.example.org"),
        ("a@b", "a@b"),
        ("50%%@%n", "50%@pool"),
        ("100%%h@%n", "100%h@pool"),
        ("w%i%I@%n", "w0@pool"),
        ("w%q@%n", "w%q@pool"),
    ],
)
def test_a_nodes_name_knows_its_host(given, name):
    assert node_name(given, host="pool.example.org") == name


@pytest.mark.parametrize(
    ("pattern", "of_supervisor", "of_third_child"),
    [
        ("w.log", "w.log", "w.log"),
        ("%n%I.log", "mail.log", "mail-3.log"),
        ("%n-%i.log", "mail-0.log", "mail-3.log"),
        ("%p.log", "mail@pool.example.org.log", "mail@pool.example.org.log"),
        ("%h/%d/100%%.log", "pool.example.org/example.org/100%.log", "pool.example.org/example.org/100%.log"),
    ],
)
def test_a_file_knows_its_node_and_process(pattern, of_supervisor, of_third_child):
    node = "mail@pool.example.org"

    assert file_name(pattern, node, process=0) == of_supervisor
    assert file_name(pattern, node, process=3) == of_third_child
