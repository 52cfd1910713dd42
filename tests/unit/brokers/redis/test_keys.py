from __future__ import annotations

import pytest

from celeriac.brokers.redis.keys import Keys

S = b"\x06\x16"


@pytest.mark.parametrize(
    ("priority", "name"),
    [
        *((priority, b"celery") for priority in (0, 1, 2)),
        *((priority, b"celery" + S + b"3") for priority in (3, 4, 5)),
        *((priority, b"celery" + S + b"6") for priority in (6, 7, 8)),
        *((priority, b"celery" + S + b"9") for priority in (9, 10, 255)),
    ],
)
def test_a_message_waits_where_kombu_would_look_for_it(priority, name):
    keys = Keys()

    assert keys.list_of("celery", priority) == name
    assert keys.list_of("celery", priority) == name, "the second time from memory"


def test_the_lists_of_a_queue_are_served_from_the_lowest_step_on():
    assert Keys(steps=(0, 5)).lists_of("q") == [b"q", b"q" + S + b"5"]


def test_every_name_begins_with_the_prefix():
    keys = Keys("app:")

    names = [*keys.lists_of("q"), keys.held(1), keys.started(1), keys.dead_of("q"), keys.sent("p"), keys.bindings]
    names += [value for name, value in vars(keys).items() if not name.startswith("_")]

    assert all(name.startswith(b"app:") for name in names)


@pytest.mark.parametrize("queue", ["celery", "a:b", f"odd{S.decode()}3", "é", f"odd{S.decode()}4"])
def test_a_list_tells_its_queue(queue):
    keys = Keys("app:")

    assert [keys.queue_of(name) for name in keys.lists_of(queue)][1:] == [queue] * 3
    if not queue.endswith("3"):  # kombu itself cannot tell the queue `odd\x06\x163` from a step of `odd`
        assert keys.queue_of(keys.list_of(queue)) == queue


def test_a_binding_tells_its_queue():
    assert Keys().queue_of_binding(b"a.#" + S + rb"^a\..*?$" + S + b"tq") == "tq"


def test_many_queues_are_not_remembered_for_ever():
    keys = Keys()

    for number in range(10_000):
        keys.list_of(f"q{number}")

    assert len(keys._lists) < 5_000
