from __future__ import annotations

import time

import msgspec
import pytest

from celeriac import Celery
from celeriac.backends.memory import MemoryBackend
from celeriac.brokers.base import ResultMeta
from celeriac.brokers.memory import MemoryBroker
from celeriac.states import FAILURE, SUCCESS
from celeriac.testing.worlds import a_message


@pytest.fixture
def app(request) -> Celery:
    """An app whose results are kept in another store than its messages."""
    name = request.node.name
    return Celery("shop", broker=f"memory://{name}", backend=f"memory://{name}-results", set_as_current=False)


def bury(app: Celery, *task_ids: str) -> None:
    letters = [(a_message(task_id), "poison") for task_id in task_ids]
    app.broker.bury(letters, deadline_at=time.monotonic() + 10)


def keep(app: Celery, **states: str) -> None:
    assert app.backend is not None
    app.backend.store([ResultMeta(task_id=task_id, state=state, record=b"{}") for task_id, state in states.items()])


def test_the_two_stores_are_two(app: Celery):
    assert isinstance(app.broker, MemoryBroker)
    assert isinstance(app.backend, MemoryBackend)
    assert app.broker.url != app.backend.url


def test_a_replay_forgets_failures_and_nothing_else(app: Celery):
    bury(app, "failed", "succeeded", "unknown")
    keep(app, failed=FAILURE, succeeded=SUCCESS, other=FAILURE)
    numbers = [letter.number for letter in app.dead_letters.newest()]

    assert sorted(app.dead_letters.replay([*numbers, 999])) == ["failed", "succeeded", "unknown"]

    assert app.backend is not None
    assert sorted(app.backend.get_many(["failed", "succeeded", "unknown", "other"])) == ["other", "succeeded"]
    assert [depth.ready for depth in app.broker.depths(["q"])] == [3]


def test_a_letter_that_names_no_queue_stays_and_so_does_its_failure(app: Celery, monkeypatch):
    bury(app, "failed")
    keep(app, failed=FAILURE)
    (letter,) = app.dead_letters.newest()
    monkeypatch.setattr(app.broker, "dead_letter", lambda number: msgspec.structs.replace(letter, queue=""))
    monkeypatch.setattr(app.broker, "replay", lambda numbers: [])

    assert app.dead_letters.replay([letter.number]) == []

    assert app.backend is not None
    assert list(app.backend.get_many(["failed"])) == ["failed"]


def test_letters_are_shown_and_discarded(app: Celery):
    bury(app, "a", "b")

    newest, oldest = app.dead_letters.newest()

    shown = app.dead_letters.get(newest.number)
    assert shown is not None
    assert shown.message == a_message("b")
    assert app.dead_letters.discard([newest.number]) == 1
    assert app.dead_letters.get(newest.number) is None
    assert app.dead_letters.newest(queue="q") == [oldest]
    assert app.dead_letters.newest(queue="elsewhere") == []
