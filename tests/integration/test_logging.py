"""What a node logs: which task and run lines are of, in which form, in which file."""

from __future__ import annotations

import json

import pytest

from tests.integration.project import Project

pytestmark = pytest.mark.engines("sqlite")

SURVEY = """
from celeriac.utils.log import get_task_logger

logger = get_task_logger(__name__)

@app.task
def add(x, y):
  logger.info('Adding {0} + {1}'.format(x, y))
  return x + y
"""


def test_the_logger_of_a_module_of_tasks_and_celerys_own_lines(project: Project):
    project.use_also(SURVEY)
    node = project.start("-l", "INFO", concurrency=1)

    result = project.call("add", 2, 3)
    assert result.get(timeout=60) == 5

    assert node.stop() == 0
    name = f"tasks.add[{result.id}]"
    lines = [line.partition(": ")[2] for line in node.log.splitlines() if name in line]
    assert lines[:2] == [f"INFO/MainProcess] Task {name} received", f"INFO/ForkPoolWorker-1] {name}: Adding 2 + 3"]
    assert lines[2].startswith(f"INFO/ForkPoolWorker-1] Task {name} succeeded in ")
    assert lines[2].endswith("s: 5")


ANY_LOGGER = """
import logging.config
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

logging.config.dictConfig({
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"mine": {"format": "%(task_name)s %(task_id)s %(name)s: %(message)s"}},
    "handlers": {"file": {"class": "logging.FileHandler", "filename": "everything.log", "formatter": "mine"}},
    "root": {"level": "INFO", "handlers": ["file"]},
})
logger = logging.getLogger("shop")
threads = ThreadPoolExecutor(1)


@app.task
def in_threads():
    logger.info("in the body", extra={"task_root": "mine"})
    thread = threading.Thread(target=logger.info, args=("in a thread",))
    thread.start()
    thread.join()
    threads.submit(logger.info, "in a pool").result()
    warnings.warn("in a warning")


@app.task
async def in_coroutines():
    async def inner():
        await asyncio.sleep(0)
        logger.info("in a coroutine")
    await asyncio.gather(inner(), asyncio.to_thread(logger.info, "in its thread"))
    print("printed")
"""


def test_any_logger_of_any_thread_and_coroutine_knows_the_run(project: Project):
    project.use_also(ANY_LOGGER)
    node = project.start("-l", "INFO", concurrency=1)

    threads, coroutines = project.call("in_threads"), project.call("in_coroutines")
    threads.get(timeout=60)
    coroutines.get(timeout=60)

    assert node.stop() == 0
    lines = (project.folder / "everything.log").read_text().splitlines()
    of_threads = f"tasks.in_threads {threads.id} shop: "
    for said in ("in the body", "in a thread", "in a pool"):
        assert of_threads + said in lines
    assert any(line.startswith(f"tasks.in_threads {threads.id} py.warnings: ") for line in lines)
    for said in ("in a coroutine", "in its thread"):
        assert f"tasks.in_coroutines {coroutines.id} shop: {said}" in lines
    assert f"WARNING/ForkPoolWorker-1] tasks.in_coroutines[{coroutines.id}]: printed" in node.log
    assert not [line for line in lines if "received" in line]  # celeriac's own lines stay where they are


JSON_LINES = """
@app.task
def talk(text, password):
    print("printed", end="")
    logging.getLogger("celeriac.task.mine").warning("logged", extra={"order": 7})
    return text
"""


def test_json_lines_of_all_processes_are_in_one_file(project: Project):
    project.use_also("import logging\n" + JSON_LINES)
    node = project.start("-l", "INFO", "-f", "%n.log", "worker_log_format=json", ready=False)
    results = [project.call("talk", "x" * 50_000, "secret") for _ in range(4)]
    for result in results:
        result.get(timeout=60)

    assert node.stop() == 0
    text = (project.folder / "w1.log").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    of_task = [line for line in lines if line.get("task_id") == results[0].id]
    assert {(line["message"], line.get("order")) for line in of_task if line["logger"].startswith("celeriac.task")} == {
        ("printed", None),
        ("logged", 7),
    }
    done = [line["data"] for line in lines if line["logger"] == "celeriac.trace"]
    assert {data["id"] for data in done} == {result.id for result in results}
    assert {data["name"] for data in done} == {"tasks.talk"}
    received = [line["data"] for line in lines if " received" in line["message"]]
    assert {data["id"] for data in received} == {result.id for result in results}
    assert len({line["process"] for line in lines}) >= 2
    assert max(map(len, text.splitlines())) < 8_000


OWN_SETUP = """
import logging
from celeriac.signals import setup_logging


@setup_logging.connect
def mine(loglevel, logfile, **kwargs):
    handler = logging.FileHandler("mine.log")
    handler.setFormatter(logging.Formatter("%(levelname)s %(task_id)s %(message)s"))
    logging.basicConfig(level=loglevel, handlers=[handler])


@app.task
def talk():
    logging.getLogger("celeriac.task.mine").info("logged")
    print("printed")
"""


def test_a_receiver_sets_logging_up_for_every_process_instead(project: Project):
    project.use_also(OWN_SETUP)
    node = project.start("-l", "INFO", ready=False, concurrency=1)
    result = project.call("talk")
    result.get(timeout=60)

    assert node.stop() == 0
    mine = (project.folder / "mine.log").read_text()
    assert f"INFO {result.id} logged" in mine
    assert f"Task tasks.talk[{result.id}] received" in mine
    assert "received" not in node.log
    assert "printed" in node.log.splitlines()


HIJACKED = """
import logging

app.conf.worker_hijack_root_logger = True


@app.task
def talk():
    logging.getLogger("a.library").info("said by a library")
"""


def test_the_root_logger_is_taken_over_on_request_and_a_file_per_process(project: Project):
    project.use_also(HIJACKED)
    node = project.start("-l", "INFO", "-f", "node%I.log", ready=False, concurrency=1)
    project.call("talk").get(timeout=60)

    assert node.stop() == 0
    assert "said by a library" in (project.folder / "node-1.log").read_text()
    assert "received" in (project.folder / "node.log").read_text()


LINES = """
from celeriac.app import trace

trace.LOG_SUCCESS = "%(name)s is done: %(return_value)s"
trace.LOG_RECEIVED = "%(name)s has come"
"""


def test_the_lines_can_be_worded_anew(project: Project):
    project.use_also(LINES)
    node = project.start("-l", "INFO", concurrency=1)

    project.call("add", 2, 3).get(timeout=60)

    assert node.stop() == 0
    assert "tasks.add has come\n" in node.log
    assert "tasks.add is done: 5\n" in node.log
