"""Messages made to exhaust a node or to have it run something: they die with a reason, and cost it nothing."""

from __future__ import annotations

import bz2
import json
import lzma
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from celeriac.exceptions import ContentDisallowed, DecodeError, RemoteError
from celeriac.ids import new_id
from celeriac.message import Message
from tests.integration.project import ENGINES, Project, opened, opened_store, wait_until

MIB: Final = 1024 * 1024
MOST_MORE: Final = 50 * MIB
"""Memory by which no process of a node may grow for the sake of one message."""

BOMB_MIB: Final = 128

EVIL: Final = """
from pathlib import Path

Path(__file__).with_name("imported").touch()


def run(*args, **kwargs):
    Path(__file__).with_name("called").touch()


class Boom(Exception):
    def __init__(self, *args):
        run()


class Kept(Boom):
    pass
"""
"""A module that anybody could name, as nobody has imported it."""


def bomb(compressor: Any, megabytes: int) -> bytes:
    """Compress the body of a call whose argument is so large, without having it in memory."""
    parts = [compressor.compress(b'[["')]
    parts += [compressor.compress(b"x" * MIB) for _ in range(megabytes)]
    parts.append(compressor.compress(b'"], {}, {}]'))
    return b"".join([*parts, compressor.flush()])


BOMBS: Final = {
    "zlib": lambda: bomb(zlib.compressobj(1), BOMB_MIB),
    "bzip2": lambda: bomb(bz2.BZ2Compressor(1), BOMB_MIB),
    "xz": lambda: bomb(lzma.LZMACompressor(preset=0), BOMB_MIB),
}
COMPRESSED_AS: Final = {"zlib": "application/x-gzip", "bzip2": "application/x-bz2", "xz": "application/x-lzma"}


def headers(task: str = "tasks.size_of", **more: object) -> dict[str, object]:
    return {"lang": "py", "task": task, **more}


def body(*args: object) -> bytes:
    return json.dumps([args, {}, {}]).encode()


def deep(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


PLAIN: Final = {
    "headers of 100,000 levels": (b'{"task": "tasks.add", "id": "x", "y": ' + deep(100_000) + b"}", body(1), "deep"),
    "a body of 100,000 levels": (headers(), b"[[" + deep(100_000) + b"], {}, {}]", "deep"),
    "a body of 8 million levels": (headers(), b"[" * 8_000_000, "deep"),
    "objects of 100,000 levels": (headers(), b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "deep"),
    "a task name of 1 MB": (headers("x" * 1_000_000), body(1), "limit"),
    "a task name of 200 KB": (headers("x" * 200_000), body(1), "name"),
    "NaN retries": (b'{"task": "tasks.add", "id": "x", "retries": NaN}', body(1), "retries"),
    "a time limit of NaN": (b'{"task": "tasks.add", "id": "x", "timelimit": [NaN, Infinity]}', body(1), "timelimit"),
    "an expiry of NaN": (b'{"task": "tasks.add", "id": "x", "expires": NaN}', body(1), "expires"),
    "a body that is no UTF-8": (headers(), b'[["\xff\xfe"], {}, {}]', "body"),
    "headers that are no UTF-8": (b'{"task": "tasks.\xff", "id": "x"}', body(1), "headers"),
    "no headers": (b"{}", body(1), "."),
    "a number of a million digits": (headers(), b"[[" + b"9" * 1_000_000 + b"], {}, {}]", "."),
}


@pytest.fixture(scope="module", params=ENGINES)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One project for all messages: the same node meets every one of them."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "evil.py").write_text(EVIL)
    with opened_store(request.param, request) as store, opened(folder, store) as project:
        project.use_also(READER)
        project.start("task_unknown_release_for=0", concurrency=1)
        warm_up(project)
        yield project


READER: Final = """
@app.task
def read(task_id):
    error = app.AsyncResult(task_id).get(timeout=60, propagate=False, disable_sync_subtasks=False)
    return [type(error).__name__, getattr(error, "exc_module", None)]
"""


def warm_up(project: Project) -> None:
    """Have everything imported and every buffer grown that usual messages need."""
    project.call("size_of", "x" * 15 * MIB).get(timeout=60)
    project.call("size_of", "x" * 15 * MIB, compression="xz").get(timeout=60)


def publish(project: Project, head: bytes | dict[str, object], data: bytes, **more: Any) -> str:
    """Put any bytes into the queue; return the id that they go by."""
    task_id = new_id()
    if isinstance(head, dict):
        head = json.dumps({**head, "id": task_id}).encode()
    message = Message(task_id=task_id, queue="celery", headers=head, body=data, **more)
    project.app.broker.publish([message], deadline_at=time.monotonic() + 10)
    return task_id


def peaks(project: Project) -> dict[int, int]:
    """Return the most bytes that each process of the node has had, and forget them."""
    found = {}
    for process in project.nodes[-1].members():
        status = Path(f"/proc/{process.pid}/status").read_text()
        found[process.pid] = int(re.findall(r"VmHWM:\s+(\d+)", status)[0]) * 1024
    return found


def assert_buried(project: Project, reason: str, *, before: int) -> None:
    wait_until(lambda: len(project.dead_reasons()) > before, what=f"a dead letter\n{project.logs()}")
    assert re.search(reason, project.dead_reasons()[-1])


def assert_unharmed(project: Project, before: dict[int, int]) -> None:
    """The same processes go on, and none of them has grown."""
    assert project.call("add", 1, 2).get(timeout=60) == 3
    after = peaks(project)
    assert after.keys() == before.keys(), project.logs()
    assert {pid: more // MIB for pid in before if (more := after[pid] - before[pid]) > MOST_MORE} == {}


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_a_dead_letter_before_it_has_grown(shared: Project, kind: str) -> None:
    data = BOMBS[kind]()
    letters, before = len(shared.dead_reasons()), peaks(shared)

    publish(shared, headers(compression=COMPRESSED_AS[kind]), data)

    assert_buried(shared, "message_max_bytes", before=letters)
    assert_unharmed(shared, before)


@pytest.mark.parametrize(("head", "data", "reason"), PLAIN.values(), ids=PLAIN.keys())
def test_what_nobody_can_read_is_a_dead_letter_at_once(shared: Project, head: Any, data: bytes, reason: str) -> None:
    letters, before = len(shared.dead_reasons()), peaks(shared)

    publish(shared, head, data)

    assert_buried(shared, reason, before=letters)
    assert_unharmed(shared, before)


@pytest.mark.parametrize("name", ["os.system", "evil.run", "evil:run", "tasks.os.system", "builtins.eval", "celery.x"])
def test_a_task_name_is_looked_up_among_tasks_and_nowhere_else(shared: Project, name: str) -> None:
    letters = len(shared.dead_reasons())

    publish(shared, headers(name), body(f"touch {shared.folder / 'called'}"))

    assert_buried(shared, "registered", before=letters)
    assert_innocent(shared)


def test_a_pickle_is_not_opened(shared: Project) -> None:
    letters = len(shared.dead_reasons())
    pickle = b"cevil\nrun\n(S'x'\ntR."

    for kind in ("application/x-python-serialize", "pickle", "application/data"):
        publish(shared, headers(), pickle, content_type=kind, content_encoding="binary")

    wait_until(lambda: len(shared.dead_reasons()) == letters + 3)
    assert_innocent(shared)


@pytest.mark.parametrize(
    "value",
    [
        {"__type__": "evil.run", "__value__": "x"},
        {"__type__": "object", "__value__": {"__reduce__": ["evil.run", ["x"]]}},
        {"exc_type": "Kept", "exc_message": ["x"], "exc_module": "evil"},
        {"py/object": "evil.Boom"},
    ],
    ids=["a tag", "a reduction", "an exception", "a class"],
)
def test_arguments_that_name_code_are_data(shared: Project, value: Any) -> None:
    task_id = publish(shared, headers("tasks.size_of"), body(value))

    result = shared.app.AsyncResult(task_id)
    wait_until(result.ready)
    assert_innocent(shared)


@pytest.mark.parametrize(
    ("module", "kind"),
    [("os", "system"), ("evil", "Boom"), ("builtins", "eval"), ("builtins", "SystemExit"), ("os", "path.join")],
)
def test_a_result_that_names_code_is_data_for_whoever_reads_it(shared: Project, module: str, kind: str) -> None:
    error = {"exc_type": kind, "exc_message": [f"touch {shared.folder / 'called'}"], "exc_module": module}
    record: dict[str, object] = {"status": "FAILURE", "result": error, "traceback": None, "children": []}
    task_id = shared.call("add", 1, 2).id
    shared.app.AsyncResult(task_id).get(timeout=60)
    shared.store.put_record(task_id, json.dumps({**record, "task_id": task_id}).encode())

    with pytest.raises(RemoteError) as raised:
        shared.app.AsyncResult(task_id).get(timeout=60)

    assert raised.value.exc_module == module
    assert shared.call("read", task_id).get(timeout=60) == ["RemoteError", module]
    assert_innocent(shared)


@pytest.mark.parametrize("kind", [DecodeError, ContentDisallowed])
def test_who_waits_for_what_could_not_be_read_is_told(shared: Project, kind: type[Exception]) -> None:
    content_type = "application/json" if kind is DecodeError else "application/x-python-serialize"

    task_id = publish(shared, headers(), b"{", content_type=content_type)

    with pytest.raises(kind):
        shared.app.AsyncResult(task_id).get(timeout=60)


def assert_innocent(project: Project) -> None:
    """Nothing of what data have named was imported or called."""
    assert project.call("add", 1, 2).get(timeout=60) == 3
    assert not (project.folder / "imported").exists()
    assert not (project.folder / "called").exists()
