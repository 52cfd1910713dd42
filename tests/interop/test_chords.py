"""Chords of one kind's callers on another's workers, and chords that workers of several kinds finish together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.interop.fleet import CELERIAC, CELERY, CELERY_5_3, Fleet, Kind, wait_until
from tests.interop.ways import Way

pytestmark = pytest.mark.timeout(300)  # the first run installs Celery

CHORDS = {
    "flat": ("chord([add.s(i, i) for i in range(5)])(body.s())", [0, 2, 4, 6, 8]),
    "a chain in the header": ("chord([chain(add.s(1, 1), add.s(1)), add.s(5, 5)])(body.s())", [3, 10]),
    "a chain that ends in a group": (
        "chord([chain(add.s(1, 1), group(add.s(1), add.s(2))), add.s(5, 5)])(body.s())",
        [[3, 4], 10],
    ),
    "a chord in the header": (
        "chord([chord([add.s(1, 1), add.s(2, 2)], body.s()), add.s(5, 5)])(body.s())",
        [[2, 4], 10],
    ),
    "a chain for a body": ("chord([add.s(1, 1), add.s(2, 2)])(chain(body.s(), echo.s()))", [[[2, 4]], {}]),
    "a group that something follows": ("chain(add.s(1, 1), group(add.s(1), add.s(2)), body.s())()", [3, 4]),
    "a chord that a chord follows": (
        "chain(group(add.s(1, 1), add.s(2, 2)), body.s(), group(echo.s(), echo.s()), body.s())()",
        [[[[2, 4]], {}], [[[2, 4]], {}]],
    ),
}
KINDS = {"celery": CELERY, "celery-5.3": CELERY_5_3, "celeriac": CELERIAC}
QUEUES = {"celery": "stock", "celery-5.3": "old", "celeriac": "ours"}


@pytest.mark.parametrize("name", list(CHORDS))
def test_a_chord_comes_to_the_same(way: Way, name: str) -> None:
    call, value = CHORDS[name]

    assert way.call(call) == value


def test_a_member_that_fails_fails_the_body(way: Way) -> None:
    task_id = way.send("chord([add.s(1, 1), fail.s('broken')])(body.s().on_error(errback_by_id.s()))")

    kind, [text] = way.failure(task_id)

    assert kind == "ChordError"
    assert "ValueError('broken')" in text
    wait_until(lambda: ["failed", task_id, "by-id", way.package] in way.fleet.notes("failed"))


@pytest.fixture(scope="module")
def mixed(open_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    """Run workers of three kinds, each with a queue of its own."""
    fleet = open_fleet()
    for name, kind in KINDS.items():
        fleet.start(kind, "-Q", QUEUES[name], ready=False)
    for worker in fleet.workers:
        worker.wait_for_log("ready.")
    yield fleet
    fleet.close()


class Chord:
    """Send a chord whose members run in all queues, the last of which ends when it is told to.

    Args:
        caller: the kind that sends it.
        last: name of the kind that runs the member which ends last.
        body: the same of the body.
        fails: so does the first member.
    """

    def __init__(self, fleet: Fleet, caller: Kind, last: str, body: str, *, fails: bool = False) -> None:
        self.fleet = fleet
        self.caller = caller
        self.name = f"{caller.name}-{last}-{body}-{time.monotonic_ns()}"
        members: list[tuple[int, str, str | None]] = [
            (number, QUEUES[name], None) for number, name in enumerate([*KINDS, *KINDS])
        ]
        members.append((6, QUEUES[last], f"gate-{self.name}"))
        (fleet.folder / caller.name / f"gate-{self.name}").unlink(missing_ok=True)
        signatures = ", ".join(
            f"member.s({'fail' if fails and number == 0 else number!r}, {self.name!r}, {gate!r}).set(queue={queue!r})"
            for number, queue, gate in members
        ).replace("s(fail", "s('fail'")
        self.task_id, self.group_id = fleet.client(caller).run(
            f"(lambda result: [result.id, result.parent.id])(chord([{signatures}])"
            f"(body.s({self.name!r}).set(queue={QUEUES[body]!r})))"
        )

    def members_ended(self) -> int:
        return sum(words[1] == self.name for words in self.fleet.notes("member"))

    def end(self) -> None:
        """Let the last member end, once the others have been counted."""
        key = f"celery-taskset-meta-{self.group_id}.j"
        wait_until(lambda: self.fleet.results.zcard(key) == 6, what=lambda: f"six members\n{self.fleet.logs()}")
        for kind in KINDS:
            (self.fleet.folder / kind / f"gate-{self.name}").touch()

    def bodies(self) -> list[str]:
        """Return the packages in which the body has run."""
        return [words[2] for words in self.fleet.notes("body") if words[1] == self.name]

    def left(self) -> dict[str, Any]:
        """Return the keys that are kept of its join, with their values, but for that of a saved group."""
        keys = [str(key) for key in self.fleet.results.scan_iter(f"*{self.group_id}*")]
        return {key.rpartition(".")[2]: self.fleet.results.type(key) for key in keys}


@pytest.mark.parametrize("body", ["celery", "celeriac"])
@pytest.mark.parametrize("last", list(KINDS))
@pytest.mark.parametrize("caller", list(KINDS))
def test_workers_of_all_kinds_finish_a_chord_together(mixed: Fleet, caller: str, last: str, body: str) -> None:
    sent = Chord(mixed, KINDS[caller], last, body)

    sent.end()

    assert mixed.record(sent.task_id)["result"] == [0, 1, 2, 3, 4, 5, 6]
    assert sent.bodies() == [KINDS[body].package]
    word = mixed.results.get(f"celery-taskset-meta-{sent.group_id}.c")
    if last == "celeriac":
        wait_until(lambda: sent.left() == {"c": "string"}, what=lambda: f"{sent.left()}")
        assert mixed.results.get(f"celery-taskset-meta-{sent.group_id}.c") == "done"
    elif last == "celery":
        wait_until(lambda: sent.left() == {"c": "string"}, what=lambda: f"{sent.left()}")
    else:
        assert word is None  # that version says nothing


@pytest.mark.parametrize("last", list(KINDS))
def test_a_failed_member_fails_a_chord_once_whoever_finishes_it(mixed: Fleet, last: str) -> None:
    sent = Chord(mixed, CELERIAC, last, "celeriac", fails=True)

    sent.end()

    record = mixed.record(sent.task_id)
    assert (record["status"], record["result"]["exc_type"]) == ("FAILURE", "ChordError")
    assert "ValueError" in record["result"]["exc_message"][0]
    assert sent.bodies() == []


@pytest.mark.parametrize("again", list(KINDS))
def test_a_member_that_runs_once_more_publishes_nothing(mixed: Fleet, again: str) -> None:
    """Deliver a message twice, the second time to a worker of any kind, after our node has finished the chord."""
    name = f"once-{again}"
    task_id, group_id = mixed.client(CELERIAC).run(
        f"(lambda result: [result.id, result.parent.id])(chord([member.s(1, {name!r}).set(queue='parked'), "
        f"member.s(2, {name!r}).set(queue='parked')])(body.s({name!r}).set(queue='ours')))"
    )
    copies = mixed.broker.lrange("parked", 0, -1)
    while mixed.broker.lmove("parked", "ours"):
        pass
    assert mixed.record(task_id)["result"] == [1, 2]
    wait_until(lambda: mixed.results.get(f"celery-taskset-meta-{group_id}.c") == "done")

    mixed.broker.lpush(QUEUES[again], *copies)
    wait_until(lambda: sum(words[1] == name for words in mixed.notes("member")) == 4, what=mixed.logs)

    time.sleep(0.5)  # what they publish, if anything, has run by then
    assert [words[1] for words in mixed.notes("body")].count(name) == 1
    assert mixed.results.get(f"celery-taskset-meta-{group_id}.c") == "done"


def test_what_a_member_of_celery_adds_is_waited_for(mixed: Fleet) -> None:
    task_id = mixed.client(CELERIAC).run(
        "chord([member_and_more.s(1).set(queue='stock'), add.s(2, 2).set(queue='ours')])(body.s().set(queue='ours')).id"
    )
    wait_until(lambda: mixed.broker.llen("celery") == 1, what=mixed.logs)
    mixed.broker.lmove("celery", "ours")

    assert sorted(mixed.record(task_id)["result"]) == [1, 4, 101]


@pytest.fixture(scope="module")
def in_lists(open_fleet: Callable[..., Fleet]) -> Iterator[Fleet]:
    """Run workers of two kinds that keep members in the order of their ends."""
    fleet = open_fleet(result_backend_transport_options={"result_chord_ordered": False})
    fleet.start(CELERY, "-Q", "stock", ready=False)
    fleet.start(CELERIAC, "-Q", "ours", ready=False)
    for worker in fleet.workers:
        worker.wait_for_log("ready.")
    yield fleet
    fleet.close()


@pytest.mark.parametrize("last", ["celery", "celeriac"])
def test_members_may_be_kept_in_the_order_of_their_ends(in_lists: Fleet, last: str) -> None:
    gate = f"gate-{last}"
    task_id, group_id = in_lists.client(CELERIAC).run(
        "(lambda result: [result.id, result.parent.id])(chord([member.s(1, 'm').set(queue='stock'), "
        f"member.s(2, 'm', {gate!r}).set(queue={QUEUES[last]!r}), member.s(3, 'm').set(queue='ours')])"
        "(body.s().set(queue='ours')))"
    )
    wait_until(lambda: in_lists.results.llen(f"celery-taskset-meta-{group_id}.j") == 2, what=in_lists.logs)
    (in_lists.folder / last / gate).touch()

    *first, final = in_lists.record(task_id)["result"]
    assert (sorted(first), final) == ([1, 3], 2)
