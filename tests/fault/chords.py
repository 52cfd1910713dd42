"""Chords whose members are retried, fail and die with their nodes, and what must have become of every one of them.

Nobody takes bodies and errbacks from their queues until all chords have come to one of the two, so what has been
published can be counted, message by message.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from typing import Any, Final

from celeriac import chord, signature
from celeriac.brokers.joins import JOINS_QUEUE
from tests.fault.storm import Storm
from tests.integration.project import Project, wait_until
from tests.integration.stores import RedisStore, SqliteStore
from tests.size import SIZE, scaled

CHORDS: Final = scaled(500)
MEMBERS: Final = 100 if SIZE == "full" else 50
NODES: Final = ("w1", "w2")
SEED: Final = 500
QUEUES: Final = ("bodies", "errors")

TASKS: Final = """
import random


def fate(number, index):
    return random.Random(f"{number}-{index}").random()


@app.task(bind=True, max_retries=None)
def part(self, number, index):
    if fate(number, index) < 0.05 and not self.request.retries:
        raise self.retry(countdown=0.05)
    time.sleep(0.005)
    if fate(number, index) > 0.99:
        raise ValueError(index)
    return index


@app.task
def whole(values, number):
    note("whole", number)
    return [number, len(values), sum(values)]


@app.task(bind=True)
def broken(self, task_id, number):
    note("broken", number)
"""


def fails(number: int) -> bool:
    """Say whether a member of that chord fails."""
    return any(random.Random(f"{number}-{index}").random() > 0.99 for index in range(MEMBERS))


class Chords:
    """Send chords into a project while its nodes are being killed, and look at what has become of them."""

    def __init__(self, project: Project) -> None:
        project.use_also(TASKS)
        self.project = project
        self.ids: dict[int, str] = {}
        self._thread = threading.Thread(target=self._send, name="sending chords", daemon=True)

    def rage(self) -> Storm:
        """Kill nodes until no member waits any more, let the others take over what those held, and stop them."""
        for name in NODES:
            self.project.start("-Q", "celery", name=name)
        storm = Storm(self.project, random.Random(SEED), args=("-Q", "celery"))
        self._thread.start()
        storm.rage_until(self._nothing_waits)
        self._thread.join()
        wait_until(self._nothing_else, within=60, what=f"the rest to be settled\n{self.project.logs()}")
        wait_until(lambda: len(self.project.store.owners()) == len(NODES), what="the recovery of those killed last")
        for node in storm.living():
            assert node.stop() == 0, node.log_end
        assert storm.hits >= (20 if SIZE == "full" else 1), f"{storm.kills} kills, {storm.hits} of a busy node"
        return storm

    def _send(self) -> None:
        app = self.project.app
        for number in range(CHORDS):
            members = [signature("tasks.part", (number, index), app=app) for index in range(MEMBERS)]
            body = signature("tasks.whole", (number,), app=app).set(queue="bodies")
            body = body.on_error(signature("tasks.broken", (number,), app=app).set(queue="errors"))
            self.ids[number] = chord(members, body, app=app).delay().id

    def _nothing_waits(self) -> bool:
        return not (self._thread.is_alive() or waiting(self.project, "celery") or waiting(self.project, JOINS_QUEUE))

    def _nothing_else(self) -> bool:
        return all(one.queue in QUEUES and not one.held for one in self.project.kept())

    def published(self, queue: str) -> Counter[str]:
        """Count the messages in a queue by what they are about: the id of a body, or of the one that failed."""
        kept = [one for one in self.project.kept() if one.queue == queue]
        return Counter(one.task_id if queue == "bodies" else one.headers["parent_id"] for one in kept)

    def expected(self) -> tuple[Counter[str], Counter[str]]:
        """Return which bodies and which errbacks are to be published, each of them once."""
        failing = {number for number in self.ids if fails(number)}
        bodies = [task_id for number, task_id in self.ids.items() if number not in failing]
        return Counter(bodies), Counter(self.ids[number] for number in failing)

    def end(self, again: int = 0) -> None:
        """Have bodies and errbacks run, and assert what is recorded and what is left.

        Args:
            again: how many ends were published more than once, and may run as often.
        """
        node = self.project.start("-Q", ",".join(QUEUES), name="last")
        wait_until(self.project.is_empty, within=60, what=f"the bodies to run\n{self.project.logs()}")
        assert node.stop() == 0, node.log_end
        results = self.project.store.results()
        for number, task_id in self.ids.items():
            if fails(number):
                assert results[task_id]["result"]["exc_type"] == "ChordError"
            else:
                assert results[task_id]["result"] == [number, MEMBERS, sum(range(MEMBERS))]
        told = Counter((words[0], words[1]) for words in self.project.notes if words[0] in ("whole", "broken"))
        assert set(told) == {("broken" if fails(number) else "whole", str(number)) for number in self.ids}
        assert told.total() <= CHORDS + again
        assert self.project.dead_reasons() == []
        assert left_of_joins(self.project) == []
        self.project.assert_clean()


def waiting(project: Project, queue: str) -> int:
    """Count the messages that wait in a queue. Cheap."""
    store = project.store
    if isinstance(store, SqliteStore):
        [(count,)] = store.select("SELECT count(*) FROM message WHERE queue = ? AND owner IS NULL", queue)
        return int(count)
    assert isinstance(store, RedisStore)
    return int(store.client.llen(queue))


def left_of_joins(project: Project) -> list[Any]:
    """Return what is kept of joins besides that they are done."""
    store = project.store
    if isinstance(store, SqliteStore):
        rows = store.select("SELECT group_id FROM joining WHERE state <> 2 UNION SELECT group_id FROM join_member")
        return [*rows, *store.select("SELECT group_id FROM join_addition")]
    assert isinstance(store, RedisStore)
    values = store.others()
    return [key for key, value in values.items() if not (key.endswith(".c") and value == b"done")]
