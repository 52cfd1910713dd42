from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from celeriac.brokers.sqlite.group import GroupCommit
from celeriac.exceptions import BrokerUnavailable
from celeriac.message import Message

PATIENCE = 60.0


def a_message(task_id: str) -> Message:
    return Message(task_id=task_id, queue="q", headers=b"{}", body=b"")


class Writing:
    """Hold up the first write until the others have queued; have one message be refused, and stop its thread."""

    def __init__(self, error: BaseException) -> None:
        self.written: list[str] = []
        self.begun = threading.Event()
        self.go_on = threading.Event()
        self._error = error

    def __call__(self, messages: Sequence[Message], deadline_at: float) -> None:
        ids = [message.task_id for message in messages]
        if ids == ["first"]:
            self.begun.set()
            assert self.go_on.wait(PATIENCE)
        elif "bad" in ids:
            raise ValueError("it cannot be held") if len(ids) > 1 else self._error
        self.written += ids


@pytest.mark.parametrize(
    ("error", "stored"), [(KeyboardInterrupt(), False), (ValueError("it cannot be held"), True)], ids=["Ctrl-C", "bad"]
)
def test_who_is_told_that_it_is_stored_has_it_stored(error: BaseException, stored: bool):
    group, write = GroupCommit(), Writing(error)
    told: dict[str, BaseException | None] = {}

    def publish(task_id: str) -> None:
        try:
            group.commit([a_message(task_id)], write, deadline_at=time.monotonic() + PATIENCE)
        except BaseException as exc:  # noqa: BLE001 - looked at below
            told[task_id] = exc
        else:
            told[task_id] = None

    threads = [threading.Thread(target=publish, args=(name,)) for name in ("first", "bad", "a", "b")]
    threads[0].start()
    assert write.begun.wait(PATIENCE)
    for count, thread in enumerate(threads[1:], 1):
        thread.start()
        until = time.monotonic() + PATIENCE
        while len(group._jobs) < count:
            assert time.monotonic() < until
            time.sleep(0.001)
    write.go_on.set()
    for thread in threads:
        thread.join(PATIENCE)

    [at_fault] = [name for name in told if told[name] is error]
    assert at_fault == "bad" or not stored  # Ctrl-C comes to the one that commits, which may be any of the three
    assert told["first"] is None
    others = [told[name] for name in ("bad", "a", "b") if name != at_fault]
    assert all(one is None if stored else isinstance(one, BrokerUnavailable) for one in others)
    assert write.written == ["first", *(["a", "b"] if stored else [])]
