"""Anybody can write anything into the table. Whatever it is, it becomes a dead letter, and the node goes on."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from celeriac.exceptions import MessageTooLarge
from tests.integration.project import Project, opened, wait_until

ID = "1f2e3d4c-0000-7000-8000-00000000beef"
HEADERS = {"lang": "py", "task": "tasks.add", "id": ID, "retries": 0, "eta": None, "expires": None}
BODY = [[1, 2], {}, {"callbacks": None, "errbacks": None, "chain": None, "chord": None}]


def headers(**changes: object) -> bytes:
    return json.dumps({**HEADERS, **changes}).encode()


def body(*args: object, **embed: object) -> bytes:
    return json.dumps([args or BODY[0], {}, {**BODY[2], **embed}]).encode()  # type: ignore[dict-item] # it is a dict


def nested(depth: int) -> bytes:
    return b"[[%s%s], {}, {}]" % (b"[" * depth, b"]" * depth)


NO_ID = json.dumps({name: value for name, value in HEADERS.items() if name != "id"}).encode()
DEEP_HEADERS = b'{"task": "tasks.add", "id": "%s", "x": %s%s}' % (ID.encode(), b"[" * 10_000, b"]" * 10_000)

BAD: dict[str, tuple[Mapping[str, Any], str]] = {
    "headers that are no JSON": ({"headers": b"\xff\xfe not json"}, "headers"),
    "headers that are empty": ({"headers": b""}, "headers"),
    "headers that are a list": ({"headers": b"[1, 2]"}, "headers"),
    "headers nested 10,000 deep": ({"headers": DEEP_HEADERS}, "deep"),
    "too many headers": ({"headers": headers(**{f"x{n}": n for n in range(400)})}, "headers"),
    "headers as text": ({"headers": headers().decode()}, "column headers"),
    "headers without an id": ({"headers": NO_ID}, "id"),
    "an id that is a number": ({"headers": headers(id=7)}, "id"),
    "an id of 300 characters": ({"headers": headers(id="x" * 300)}, "id"),
    "a task name that is a list": ({"headers": headers(task=["tasks.add"])}, "task"),
    "a task name of 2,000 characters": ({"headers": headers(task="x" * 2_000)}, "task"),
    "retries that are text": ({"headers": headers(retries="many")}, "retries"),
    "an eta that is no time": ({"headers": headers(eta="soon")}, "eta"),
    "an expiry that is no time": ({"headers": headers(expires=[1])}, "expires"),
    "a body that is no JSON": ({"body": b"{nothing"}, "body"),
    "a body that is empty": ({"body": b""}, "body"),
    "a body that is null": ({"body": b"null"}, "body"),
    "a body with too few parts": ({"body": b"[[1, 2]]"}, "body"),
    "a body whose arguments are a number": ({"body": b"[5, {}, {}]"}, "body"),
    "a body whose keywords are a list": ({"body": b"[[1, 2], [], {}]"}, "body"),
    "a body nested 10,000 deep": ({"body": nested(10_000)}, "deep"),
    "a body as text": ({"body": body().decode()}, "column body"),
    "a body as a number": ({"body": 5}, "column body"),
    "an unknown content type": ({"content_type": "application/x-nothing"}, "application/x-nothing"),
    "a pickle": ({"content_type": "application/x-python-serialize", "body": b"\x80\x04N."}, "x-python-serialize"),
    "a content type that is a number": ({"content_type": 5.5}, r"content_type|5\.5"),
    "a content type of bytes": ({"content_type": b"application/json"}, "content_type|b'application/json'"),
    "a content encoding that is a blob": ({"content_encoding": b"\xff"}, "content_encoding"),
    "a priority that is text": ({"priority": "urgent"}, "column priority"),
    "an id with a NUL": ({"headers": headers(id="a\0b")}, "NUL"),
    "a task name with a NUL": ({"headers": headers(task="tasks.add\0")}, "NUL"),
    "a body of a task that is acked before its run": (
        {"headers": headers(task="tasks.die_after_ack"), "body": b"{nothing"},
        "body",
    ),
    "a task id with a NUL": ({"task_id": "a\0b"}, "column task_id"),
    "a task id of 300 characters": ({"task_id": "x" * 300}, "column task_id"),
    "a task id of 20 MB": ({"task_id": "x" * 20_000_000}, "message_max_bytes"),
    "a task id of 20 MB behind a NUL": ({"task_id": "x\0" * 10_000_000}, "message_max_bytes"),
    "properties of 20 MB": ({"properties": b" " * 20_000_000}, "message_max_bytes"),
    "a content type of 20 MB": ({"content_type": "x" * 20_000_000}, "message_max_bytes"),
    "a content encoding of 20 MB": ({"content_encoding": "x" * 20_000_000}, "message_max_bytes"),
    "a task id that is a blob": ({"task_id": b"\xff\x00"}, "column task_id"),
    "properties that are no JSON": ({"properties": b"nothing"}, "properties"),
    "properties as text": ({"properties": "{}"}, "column properties"),
    "callbacks": ({"body": body(callbacks=[{"args": [], "kwargs": {}}])}, "callbacks"),
    "a chord": ({"body": body(chord={"args": [], "kwargs": {}})}, "chord"),
}


BROKEN_ACCOUNTS: dict[str, Mapping[str, Any]] = {
    "crashes that are text": {"crashes": "often"},
    "node losses that are a blob": {"node_losses": b"x"},
    "releases that are text": {"releases": "x"},
    "an eta that is text": {"eta": "soon"},
    "an eta that is a blob": {"eta": b"soon"},
    "a queue that is a blob": {"queue": b"celery"},
}


def insert(project: Project, **changes: Any) -> None:
    row = {"queue": "celery", "priority": 0, "task_id": ID, "headers": headers(), "body": body(), **changes}
    names = ", ".join(row)
    project.sqlite.change(f"INSERT INTO message ({names}) VALUES ({', '.join('?' * len(row))})", *row.values())


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One project for all rows: the same node meets every one of them."""
    with opened(tmp_path_factory.mktemp("bad-rows")) as project:
        yield project


@pytest.fixture
def worked(shared: Project) -> Project:
    """The project with its node running; started again only when a test before has killed it."""
    if not shared.nodes or shared.nodes[-1].process.poll() is not None:
        shared.start()
    shared.sqlite.change("DELETE FROM message")
    shared.sqlite.change("DELETE FROM dead_letter")
    shared.sqlite.change("DELETE FROM result")
    return shared


@pytest.mark.parametrize(("change", "reason"), BAD.values(), ids=BAD.keys())
def test_a_bad_row_is_dead_lettered_with_its_reason_and_the_node_goes_on(worked: Project, change, reason):
    node = worked.nodes[-1]
    pids = {process.pid for process in node.members()}

    insert(worked, **change)

    wait_until(worked.dead_reasons, what=f"a dead letter\n{node.log_end}")
    assert re.search(reason, worked.dead_reasons()[0])
    assert change.get("task_id", ID) != ID or worked.app.AsyncResult(ID).state == "FAILURE"
    assert worked.call("add", 1, 2).get(timeout=60) == 3
    assert {process.pid for process in node.members()} == pids, node.log_end
    assert worked.sqlite.select("SELECT count(*) FROM message") == [(0,)]


@pytest.mark.parametrize("change", BROKEN_ACCOUNTS.values(), ids=BROKEN_ACCOUNTS.keys())
def test_a_row_whose_accounts_are_broken_is_refused_by_the_file_or_does_no_harm(worked: Project, change):
    node = worked.nodes[-1]
    pids = {process.pid for process in node.members()}

    with contextlib.suppress(sqlite3.IntegrityError):
        insert(worked, **change)

    for _ in range(3):
        assert worked.call("add", 1, 2).get(timeout=60) == 3
    worked.call("add", 1, 2, countdown=0.1).get(timeout=60)
    assert {process.pid for process in node.members()} == pids, node.log_end


@pytest.mark.parametrize("megabytes", [17, 40])
def test_a_message_over_the_limit_is_dead_lettered_without_being_read(worked: Project, megabytes):
    insert(worked, body=b'[["%s"], {}, {}]' % (b"x" * megabytes * 1024 * 1024))

    wait_until(worked.dead_reasons)
    assert "message_max_bytes" in worked.dead_reasons()[0]
    with pytest.raises(MessageTooLarge, match="message_max_bytes"):
        worked.app.AsyncResult(ID).get(timeout=60)
    assert worked.call("add", 1, 2).get(timeout=60) == 3


def test_a_row_without_an_answer_to_give_is_a_dead_letter_all_the_same(worked: Project):
    insert(worked, task_id="", headers=b"")

    wait_until(worked.dead_reasons)
    assert worked.call("add", 1, 2).get(timeout=60) == 3


def test_a_message_of_protocol_1_runs(worked: Project):
    first = {"task": "tasks.add", "id": ID, "args": [2, 3], "kwargs": {}, "retries": 0, "eta": None, "expires": None}

    insert(worked, headers=b"{}", body=json.dumps(first).encode())

    assert worked.app.AsyncResult(ID).get(timeout=60) == 5
    assert worked.dead_reasons() == []


def test_a_message_without_optional_headers_runs(worked: Project):
    insert(worked, headers=json.dumps({"task": "tasks.add", "id": ID}).encode(), body=b"[[2, 3], {}, {}]")

    assert worked.app.AsyncResult(ID).get(timeout=60) == 5


def test_bad_rows_between_good_ones_hold_nothing_up(worked: Project):
    expected = []
    for number, (change, _) in enumerate(BAD.values()):
        insert(worked, **change)
        expected.append((worked.call("add", number, 1), number + 1))

    for result, value in expected:
        assert result.get(timeout=60) == value
    wait_until(lambda: len(worked.dead_reasons()) == len(BAD), within=20)


def test_a_replayed_dead_letter_gets_a_new_answer(worked: Project):
    insert(worked, headers=headers(retries="many"))
    wait_until(worked.dead_reasons)
    worked.sqlite.change("UPDATE dead_letter SET headers = ?", headers())
    (letter,) = worked.app.broker.dead_letters()

    worked.app.broker.replay([letter.number])

    assert worked.app.AsyncResult(ID).get(timeout=60) == 3
    assert worked.dead_reasons() == []


@pytest.mark.parametrize("column", ["task_id", "content_type", "content_encoding"])
def test_text_that_is_no_utf_8_holds_nobody_up(worked: Project, column: str):
    """SQLite stores any bytes as text; Python's driver refuses to read such a row at all."""
    node = worked.nodes[-1]
    pids = {process.pid for process in node.members()}

    with contextlib.suppress(sqlite3.IntegrityError):
        worked.sqlite.change(
            "INSERT INTO message (queue, priority, task_id, headers, body, content_type, content_encoding)"
            " SELECT queue, priority, id, headers, body, type, encoding FROM (SELECT 'celery' AS queue, 0 AS priority,"
            f" {_broken(column, 'task_id', repr(ID))} AS id, ? AS headers, ? AS body,"
            f" {_broken(column, 'content_type', 'NULL')} AS type,"
            f" {_broken(column, 'content_encoding', 'NULL')} AS encoding)",
            headers(),
            body(),
        )

    for _ in range(3):
        assert worked.call("add", 1, 2).get(timeout=60) == 3
    assert worked.sqlite.select("SELECT count(*) FROM message") == [(0,)]
    assert {process.pid for process in node.members()} == pids, node.log_end


def _broken(broken: str, column: str, usual: str) -> str:
    return "CAST(x'ff' AS TEXT)" if column == broken else usual
