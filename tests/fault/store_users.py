"""Processes that use one database file all at once, or until they are killed.

    python -m tests.fault.store_users killed DATABASE ACKNOWLEDGED KILLS SEED
    python -m tests.fault.store_users crowd DATABASE PROCESSES MESSAGES

Everything is imported once, here; the users are forked off, so hundreds of them cost no more than their work.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from celeriac.backends.sqlite import SqliteBackend
from celeriac.brokers.base import Consumer, Delivery, Incarnation, Release, ResultMeta, Settlement
from celeriac.brokers.sqlite import SqliteBroker
from celeriac.ids import new_ids
from celeriac.message import Message

QUEUE: Final = "q"
FOLLOW_UP: Final = "-follow-up"
LONGEST_LIFE: Final = 0.03
PATIENCE: Final = 5.0


def message(task_id: str) -> Message:
    return Message(task_id=task_id, queue=QUEUE, headers=b"{}", body=b"[[], {}, {}]")


def done(delivery: Delivery) -> Settlement:
    """End a run: a record of it and, unless it is one itself, a message that follows."""
    task_id = delivery.message.task_id
    follows = () if task_id.endswith(FOLLOW_UP) else (message(task_id + FOLLOW_UP),)
    record = ResultMeta(task_id=task_id, state="SUCCESS", record=b"{}")
    return Settlement(delivery=delivery, result=record, publish=follows)


class User:
    """Publish, claim, settle and release on a file, as producers and nodes do."""

    def __init__(self, path: Path) -> None:
        self.broker = SqliteBroker(path)
        self.backend = SqliteBackend(path)
        self.consumer: Consumer = self.broker.consumer(Incarnation.begin("user"))

    def publish(self, count: int) -> list[str]:
        ids = new_ids(count)
        self.broker.publish([message(task_id) for task_id in ids], deadline_at=time.monotonic() + PATIENCE)
        return ids

    def settled(self) -> int:
        return int(str(self.broker.store().read("SELECT count(*) FROM result")[0][0]))

    async def work(self, limit: int, *, give_back: bool) -> int:
        """Claim and settle; return how many were settled."""
        claimed = (await self.consumer.claim([QUEUE], limit=limit, wait=0)).deliveries
        kept = claimed[1:] if give_back else claimed
        await self.consumer.release([Release(delivery=delivery) for delivery in claimed[: len(claimed) - len(kept)]])
        refused = await self.consumer.settle([done(delivery) for delivery in kept], self.backend)
        assert not refused, "somebody else took what this user had claimed"
        return len(kept)


# -- killed -------------------------------------------------------------------------------------------------------


async def use_until_killed(path: Path, acknowledged: Path, at_work: int) -> None:
    """Use the file; say so on a pipe at the end of the first turn."""
    user = User(path)
    await user.consumer.open()
    await user.consumer.recover()
    log = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    turn = 0
    while True:
        turn += 1
        published = user.publish(1 + turn % 3)
        os.write(log, "".join(f"{task_id}\n" for task_id in published).encode())
        await user.work(1 + turn % 4, give_back=turn % 5 == 0)
        if turn == 1:
            os.write(at_work, b".")


def run_until_killed(path: Path, acknowledged: Path, at_work: int) -> None:
    asyncio.run(use_until_killed(path, acknowledged, at_work))


def kill_again_and_again(path: Path, acknowledged: Path, kills: int, seed: int) -> None:
    """Let one user after another live for a moment that nobody can foresee: every other one after its first turn."""
    moments = random.Random(seed)
    for number in range(kills):
        told, telling = os.pipe()
        pid = fork(partial(run_until_killed, path, acknowledged, telling))
        os.close(telling)
        if number % 2:
            os.read(told, 1)
        time.sleep(moments.uniform(0.0, LONGEST_LIFE))
        os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
        os.close(told)
        if not os.WIFSIGNALED(status):
            sys.exit("a user ended by itself")


# -- crowd --------------------------------------------------------------------------------------------------------


async def enqueue_and_claim(path: Path, count: int, total: int) -> None:
    user = User(path)
    await user.consumer.open()
    left = count
    while left or user.settled() < total:
        if left:
            user.publish(1)
            left -= 1
        await user.work(3, give_back=left % 7 == 1)
        await user.consumer.extend()
    await user.consumer.close()


def use_at_once(path: Path, processes: int, count: int) -> None:
    total = 2 * processes * count  # each with its follow-up
    living = {fork(lambda: asyncio.run(enqueue_and_claim(path, count, total))) for _ in range(processes)}
    while living:
        pid, status = os.wait()
        living.remove(pid)
        if status != 0:  # the others would wait for its share for ever
            for other in living:
                os.kill(other, signal.SIGKILL)
            sys.exit("a process failed")


def fork(life: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        life()
        code = 0
    except BaseException:  # noqa: BLE001 - this is the end of a process
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["killed", database, acknowledged, kills, seed]:
            kill_again_and_again(Path(database), Path(acknowledged), int(kills), int(seed))
        case ["crowd", database, processes, messages]:
            use_at_once(Path(database), int(processes), int(messages))
        case _:
            sys.exit(__doc__)
