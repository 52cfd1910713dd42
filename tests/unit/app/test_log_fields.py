from __future__ import annotations

import asyncio
import copy
import logging
import logging.handlers
import pickle
import queue
import subprocess
import sys
from typing import Any

import pytest

from celeriac.app.context import Context, entered
from celeriac.app.log_fields import TaskFields, TaskRecord, have_records_know, logged_run

LINE = "%(task_name)s[%(task_id)s] of %(root_id)s: %(message)s"


def a_run(number: int = 1) -> Context:
    return Context(id=f"run-{number}", task="shop.pay", root_id="root-1", called_directly=False)


class Kept(logging.Handler):
    """Keep formatted lines."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(LINE))
        self.lines: list[str] = []

    def emit(self, record):
        self.lines.append(self.format(record))


@pytest.fixture
def kept():
    handler = Kept()
    logger = logging.getLogger("of.a.library")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    factory = logging.getLogRecordFactory()
    have_records_know()
    yield handler
    logging.setLogRecordFactory(factory)
    logger.removeHandler(handler)


@pytest.fixture
def logger():
    return logging.getLogger("of.a.library")


def test_any_logger_knows_the_run_and_marks_what_is_outside_of_one(kept, logger):
    with entered(a_run()):
        logger.info("inside")
    logger.info("outside")

    assert kept.lines == ["shop.pay[run-1] of root-1: inside", "???[???] of ???: outside"]


def test_a_task_that_is_called_as_a_function_logs_as_the_run_that_calls_it(kept, logger):
    with entered(a_run()), entered(Context(task="shop.inner")):
        logger.info("inside")

    assert kept.lines == ["shop.pay[run-1] of root-1: inside"]


def test_what_a_program_says_itself_stays(kept, logger):
    with entered(a_run()):
        logger.info("mine", extra={"task_id": "my own"})

    assert kept.lines == ["shop.pay[my own] of root-1: mine"]


def test_coroutines_log_as_their_own_runs(kept, logger):
    async def body(number: int) -> None:
        with entered(a_run(number)):
            await asyncio.sleep(0)
            logger.info("%d", number)
            await asyncio.to_thread(logger.info, "thread of %d", number)

    async def both() -> None:
        await asyncio.gather(body(1), body(2))

    asyncio.run(both())

    assert sorted(kept.lines) == sorted(
        f"shop.pay[run-{number}] of root-1: {said}{number}" for number in (1, 2) for said in ("", "thread of ")
    )


def test_a_record_that_is_formatted_in_another_thread_keeps_its_run(kept, logger):
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    through = logging.handlers.QueueHandler(records)
    logger.addHandler(through)
    with entered(a_run()):
        logger.info("inside")
    logger.removeHandler(through)

    carried = records.get_nowait()

    assert (carried.__dict__["task_id"], carried.getMessage()) == ("run-1", "inside")


def test_copies_and_pickles_have_the_fields_and_nothing_of_the_run(kept):
    with entered(a_run()):
        record = logging.getLogger("x").makeRecord("x", logging.INFO, "f", 1, "m", (), None)

    for other in (copy.copy(record), pickle.loads(pickle.dumps(record))):
        assert isinstance(other, TaskRecord)
        assert (other.task_id, other.root_id, other.task_name) == ("run-1", "root-1", "shop.pay")
        assert not [name for name, value in vars(other).items() if isinstance(value, Context)]


def test_fields_are_attributes_too_and_nothing_else_is(kept):
    record: Any = logging.makeLogRecord({"msg": "m"})

    assert (record.task_id, record.task_name) == ("???", "???")
    with pytest.raises(AttributeError, match="nonsense"):
        _ = record.nonsense


def test_a_factory_of_the_program_stays_and_a_filter_adds_the_fields(kept, logger):
    class Own(logging.LogRecord):
        pass

    logging.setLogRecordFactory(Own)
    have_records_know()
    kept.addFilter(TaskFields())

    with entered(a_run()):
        logger.info("inside")

    assert logging.getLogRecordFactory() is Own
    assert kept.lines == ["shop.pay[run-1] of root-1: inside"]


THREADS = """
import threading
from concurrent.futures import ThreadPoolExecutor
from celeriac.app.context import Context, current_context, entered
from celeriac.app.log_fields import carry_into_threads, logged_run

carry_into_threads()
carry_into_threads()
seen = []

def look(name):
    run = logged_run()
    seen.append(f"{name} {run and run.id} {current_context()}")

def begin(name):
    thread = threading.Thread(target=look, args=(name,))
    thread.start()
    thread.join()

class Own(threading.Thread):
    def run(self):
        look("own")

with ThreadPoolExecutor(1) as pool:
    with entered(Context(id="run-1", called_directly=False)):
        begin("thread")
        own = Own()
        own.start()
        own.join()
        pool.submit(look, "pool").result()
    with entered(Context(id="run-2", called_directly=False)):
        pool.submit(look, "same pool").result()
    pool.submit(look, "pool outside").result()
    begin("outside")
print(*seen, sep="\\n")
"""


def test_threads_log_as_the_run_that_has_started_them():
    """In a process of its own, whose threads it changes."""
    done = subprocess.run([sys.executable, "-c", THREADS], capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == [
        "thread run-1 None",
        "own run-1 None",
        "pool run-1 None",
        "same pool run-2 None",
        "pool outside None None",
        "outside None None",
    ]


def test_there_is_no_run_outside_of_one():
    assert logged_run() is None
