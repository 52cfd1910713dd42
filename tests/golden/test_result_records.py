"""Result records: what Celery and celery-node stored is read, and the same outcomes make the same bytes here."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, date, datetime, time
from decimal import Decimal
from uuid import UUID

import pytest

from celeriac.exceptions import NotRegistered, RemoteError, TaskRevokedError
from celeriac.wire.forms import RecordForm
from celeriac.wire.results import Record, exception_from_map, exception_map, read_record, write_record
from tests.golden import vector

RECORDS = [name for name in vector.names("result-") if name != "result-compressed"]
EXTENDED = ("name", "args", "kwargs", "worker", "retries", "queue", "stamped_headers")
TYPES = {
    "dt": datetime(2024, 1, 2, 3, 4, 5, 678901, UTC),
    "naive": datetime(2024, 1, 2, 3, 4, 5),
    "date": date(2024, 1, 2),
    "time": time(3, 4, 5, 6),
    "dec": Decimal("1.10"),
    "uuid": UUID("12345678123456781234567812345678"),
    "b": b"abc",
    "b2": b"\xff\xfe",
}
VALUES = {
    "result-json-types": {"result": TYPES},
    "result-extended-types": {"result": {"args": [b"\xff", "x"], "kwargs": {"k": 1}}, "args": [b"\xff", "x"]},
}


def fields_in(name: str) -> dict:
    return vector.load(name)["decoded"] | VALUES.get(name, {})


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_of_a_record_is_read(name: str) -> None:
    record = read_record(vector.load(name)["redis_raw"].encode())

    known = {field: getattr(record, field) for field in Record.__struct_fields__ if field in fields_in(name)}
    assert known | record.more == fields_in(name)


@pytest.mark.parametrize("name", RECORDS)
def test_the_same_outcome_is_written_to_the_same_bytes(name: str) -> None:
    fields = fields_in(name)
    state = fields.pop("status")
    plain = {key: fields.pop(key, None) for key in ("task_id", "result", "traceback", "children", "date_done")}
    linked = {key: fields.pop(key, None) for key in ("group_id", "parent_id")}

    written = write_record(state=state, **plain, **linked, extended=fields)

    assert written.decode() == vector.load(name)["redis_raw"]


@pytest.mark.parametrize(
    ("name", "kind", "args"),
    [
        ("result-failure", ValueError, ("boom",)),
        ("result-failure-keyerror", KeyError, ("missing",)),
        ("result-not-registered", NotRegistered, ("no.such.task",)),
        ("result-revoked", TaskRevokedError, ("revoked",)),
    ],
)
def test_an_exception_that_is_known_here_comes_back_as_itself(name: str, kind: type, args: tuple) -> None:
    exc = exception_from_map(vector.load(name)["decoded"]["result"])

    assert type(exc) is kind
    assert exc.args == args


@pytest.mark.parametrize(
    "name", ["result-failure", "result-failure-keyerror", "result-not-registered", "result-revoked"]
)
def test_an_exception_that_came_back_is_stored_as_celery_stored_it(name: str) -> None:
    stored = vector.load(name)["decoded"]["result"]

    again = exception_map(exception_from_map(stored))

    assert json.dumps(again) == json.dumps(stored)


def test_an_exception_of_a_module_that_is_not_imported_stays_remote() -> None:
    stored = vector.load("result-failure-custom-exception")["decoded"]["result"]

    exc = exception_from_map(stored, traceback="Traceback ...")

    assert isinstance(exc, RemoteError)
    assert (exc.exc_module, exc.exc_type, exc.exc_args) == ("proj.tasks", "CustomError", (42, {"a": [1, 2]}))
    assert exc.traceback == "Traceback ..."
    assert exception_map(exc) == stored


def test_a_compressed_record_is_read_and_written_as_celery_does() -> None:
    found = vector.load("result-compressed")
    stored, fields = bytes.fromhex(found["value_hex"]), found["decoded"]

    written = write_record(
        task_id=fields["task_id"],
        state=fields["status"],
        result=fields["result"],
        date_done=fields["date_done"],
        form=RecordForm(compression="gzip"),
    )

    head = bytes.fromhex(found["marker_hex"]) + b"application/x-gzip\0"
    assert written.startswith(head)
    assert zlib.decompress(written.removeprefix(head)) == zlib.decompress(stored.removeprefix(head))
    for record in (read_record(stored), read_record(written)):
        assert {name: getattr(record, name) for name in fields} == fields


def test_what_celery_node_stores_is_read() -> None:
    values = vector.load("node-results")["values"]

    failure, success = (read_record(values[key].encode()) for key in sorted(values, reverse=True))

    assert (failure.status, failure.result, failure.traceback) == ("FAILURE", None, None)
    assert (success.status, success.result, success.traceback) == ("SUCCESS", 5, None)
    assert success.date_done == "2026-11-22T19:06:22.008Z"
