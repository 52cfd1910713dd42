from __future__ import annotations

import contextlib
import json
import pickle
import zlib
from collections.abc import Iterator
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import ContentDisallowed, DecodeError, EncodeError, ImproperlyConfigured, MessageTooLarge
from celeriac.states import FAILURE, SUCCESS
from celeriac.wire.forms import JSON_FORM, RecordForm
from celeriac.wire.results import exception_from_map, exception_map, read_record, write_record
from celeriac.wire.serializers import register, serializer_named, unregister
from tests.unit.wire.strategies import FOREIGN_BYTES, TEXT, damaged, nested

DONE = "2026-11-22T18:49:03+00:00"
DATA = ("json", "msgpack", "yaml")
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | TEXT


def form(serializer: str = "json", compression: str | None = None, accept: tuple[str, ...] = DATA) -> RecordForm:
    return RecordForm.of(
        serializer=serializer,
        compression=compression,
        accept=accept,
        accept_content=("json",),
        max_bytes=100_000,
    )


def written(how: RecordForm, result: Any = 5, **more: Any) -> bytes:
    return write_record(
        task_id="i", state=SUCCESS, result=result, date_done="2026-11-22T18:49:03+00:00", form=how, **more
    )


@given(
    result=nested(SCALARS),
    serializer=st.sampled_from([*DATA, "pickle"]),
    compression=st.sampled_from([None, "gzip", "bzip2", "lzma", "zstd", "brotli"]),
)
def test_a_record_comes_back_in_every_form(result: Any, serializer: str, compression: str | None) -> None:
    how = form(serializer, compression, (*DATA, "pickle"))

    record = read_record(
        written(how, result, children=[[["c", None], None]], group_id="g", extended={"name": "t", "tenant": 1}), how
    )

    assert (record.status, record.result, record.task_id, record.group_id) == (SUCCESS, result, "i", "g")
    assert (record.date_done, record.name, record.more) == (DONE, "t", {"tenant": 1})
    assert record.children == [[["c", None], None]]


@pytest.mark.parametrize("serializer", ["msgpack", "yaml", "pickle"])
def test_a_reader_of_json_names_the_setting_that_would_read_another_form(serializer: str) -> None:
    record = written(form(serializer, accept=(*DATA, "pickle")))

    with pytest.raises(ContentDisallowed, match=rf"kept as {serializer}, .*add '{serializer}' there"):
        read_record(record)


@pytest.mark.parametrize("compression", ["gzip", "zstd", "brotli"])
def test_compressed_records_are_read_by_everybody(compression: str) -> None:
    assert read_record(written(form(compression=compression)), JSON_FORM).result == 5


@pytest.mark.parametrize("serializer", ["msgpack", "yaml", "pickle"])
def test_a_reader_of_another_form_reads_json(serializer: str) -> None:
    how = form(serializer, accept=("pickle",))

    assert read_record(written(JSON_FORM), how).result == 5


def test_keys_are_in_the_order_that_celery_writes() -> None:
    record = written(form("msgpack"), group_id="g", parent_id="p", extended={"name": "t"})

    assert list(serializer_named("msgpack").loads(record)) == [
        *("status", "result", "traceback", "children", "date_done", "group_id", "parent_id", "name", "task_id")
    ]


def test_a_result_that_cannot_be_written_is_named() -> None:
    with pytest.raises(EncodeError, match=r"result\['day'\] cannot be written as msgpack: msgpack cannot carry a date"):
        written(form("msgpack"), {"day": date(2024, 1, 2)})


def test_a_record_that_no_reader_would_decompress_is_not_compressed() -> None:
    with pytest.raises(MessageTooLarge, match="over the limit of 100000 for those that are compressed"):
        written(form(compression="gzip"), "x" * 100_000)


def test_a_bomb_among_the_records_is_refused() -> None:
    bomb = b"\0celery-compressed\0application/x-gzip\0" + zlib.compress(b" " * 1_000_000)

    with pytest.raises(DecodeError, match="more than 100000 when decompressed"):
        read_record(bomb, form())


@pytest.mark.parametrize("head", [b"", b"x-none\0", b"\xff\0", b"application/x-gzip", b"application/x-gzip\0"])
def test_a_broken_envelope_is_refused(head: bytes) -> None:
    with pytest.raises(DecodeError):
        read_record(b"\0celery-compressed\0" + head)


@given(data=FOREIGN_BYTES)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for record in (data, b"\0celery-compressed\0application/x-gzip\0" + zlib.compress(data)):
        with contextlib.suppress(DecodeError):
            read_record(record, form())


@given(data=st.data(), serializer=st.sampled_from(DATA), compression=st.sampled_from([None, "gzip", "zstd"]))
def test_damaged_records_are_read_or_refused(data: st.DataObject, serializer: str, compression: str | None) -> None:
    how = form(serializer, compression)
    with contextlib.suppress(DecodeError):
        read_record(data.draw(damaged(written(how))), how)


class Custom(Exception):
    """Be known to the reader."""


@pytest.mark.parametrize("serializer", [*DATA, "pickle"])
def test_exceptions_travel_as_maps_whatever_the_serializer(serializer: str) -> None:
    how = form(serializer, accept=(*DATA, "pickle"))
    failure = Custom(1, {"a": object})

    stored = write_record(
        task_id="i", state=FAILURE, result=exception_map(failure, how), date_done=None, traceback="tb", form=how
    )

    value = read_record(stored, how).result
    assert (value["exc_type"], value["exc_module"], value["exc_message"][0]) == ("Custom", __name__, 1)
    assert type(exception_from_map(value)) is Custom


def test_an_argument_that_the_serializer_cannot_carry_becomes_its_repr() -> None:
    failure = Custom(date(2024, 1, 2), b"\xff")

    assert exception_map(failure)["exc_message"] == [date(2024, 1, 2), b"\xff"]
    assert exception_map(failure, form("msgpack"))["exc_message"] == ["datetime.date(2024, 1, 2)", b"\xff"]


def test_an_exception_that_celery_pickled_comes_back() -> None:
    stored = pickle.dumps({"status": "FAILURE", "result": ValueError("boom"), "traceback": None, "task_id": "i"}, 4)

    exc = exception_from_map(read_record(stored, form(accept=("pickle",))).result)

    assert (type(exc), exc.args) == (ValueError, ("boom",))


def settings(**said: Any) -> RecordForm:
    defaults: dict[str, Any] = {
        "serializer": "json",
        "compression": None,
        "accept": None,
        "accept_content": ("json",),
        "max_bytes": 1000,
    }
    return RecordForm.of(**defaults | said)


def test_what_is_written_is_read_too() -> None:
    assert settings(serializer="msgpack").accept == {"json", "msgpack"}
    assert settings(accept_content=("json", "yaml")).accept == {"json", "yaml"}
    assert settings(accept_content=("json", "yaml"), accept=("application/x-msgpack",)).accept == {"json", "msgpack"}


def test_pickles_are_read_only_where_the_setting_for_results_names_them() -> None:
    assert settings(accept_content=("json", "pickle")).accept == {"json"}
    assert settings(accept=("pickle",)).accept == {"json", "pickle"}
    with pytest.raises(ImproperlyConfigured, match="add 'pickle' to result_accept_content"):
        settings(serializer="pickle", accept_content=("json", "pickle"))


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ({"serializer": "jsn"}, "result_serializer names 'jsn': there is no serializer 'jsn'"),
        ({"serializer": "raw"}, "result_serializer is 'raw', which writes bytes and text and no records"),
        ({"accept": ("jsn",)}, "result_accept_content names 'jsn'"),
        ({"accept_content": ("jsn",)}, "accept_content names 'jsn'"),
        ({"compression": "gzp"}, "result_compression must be one of gzip, .*, got 'gzp'"),
    ],
)
def test_a_wrong_setting_is_named(said: dict[str, Any], text: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=text):
        settings(**said)


@pytest.fixture
def loud() -> Iterator[str]:
    register("loud", lambda value: repr(value), lambda data: eval(data), "application/x-loud")
    yield "loud"
    unregister("loud")


def test_records_of_a_registered_serializer_come_back(loud: str) -> None:
    how = settings(serializer=loud)

    assert read_record(written(how, {"a": (1,)}), how).result == {"a": (1,)}


def test_what_a_registered_serializer_wrote_as_json_is_read_by_it_too() -> None:
    def read(data: bytes) -> Any:
        return json.loads(data, object_hook=lambda fields: fields if "is" not in fields else {fields["is"]})

    register("marked", lambda value: json.dumps(value, default=lambda one: {"is": min(one)}), read, "application/x-m")
    try:
        how = settings(serializer="marked")

        assert read_record(written(how, {5}), how).result == {5}
    finally:
        unregister("marked")


def test_where_no_code_of_users_may_run_their_serializers_make_way_for_json(loud: str) -> None:
    how = settings(serializer=loud)

    record = written(how.without_code_of_users())

    assert record == written(JSON_FORM)
    assert read_record(record, how).result == 5
    assert form("msgpack", "gzip").without_code_of_users() == form("msgpack", "gzip")


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("serializer", ["json", "msgpack"])
def test_a_record_over_the_limit_is_not_written(serializer: str, compression: str | None) -> None:
    form = RecordForm(serializer=serializer_named(serializer), compression=compression, record_max_bytes=2_000)

    written(form, "x" * 1_500)
    with pytest.raises(MessageTooLarge, match="result_max_bytes"):
        written(form, "x" * 2_000)


@pytest.mark.parametrize("args", [("x" * 2_000,), ("x" * 900, "y" * 900), ("x" * 900, object(), "y" * 900)])
def test_the_record_of_an_exception_has_room_for_its_arguments_or_their_reprs(args: tuple[Any, ...]) -> None:
    form = RecordForm(record_max_bytes=3_000)

    told = exception_map(ValueError(*args), form)

    written(form, told)
    assert len(told["exc_message"]) == len(args)
