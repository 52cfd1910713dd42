from __future__ import annotations

import json
import pickle
import zlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import ContentDisallowed, DecodeError
from celeriac.message import Message
from celeriac.wire.compression import compress
from celeriac.wire.limits import Limits
from celeriac.wire.protocol import Call, Intake, read_intake, read_request, write_message
from celeriac.wire.serializers import Accept, serializer_named
from celeriac.wire.yamls import library
from tests.unit.wire.messages import EMBED, message, refusal, with_headers
from tests.unit.wire.strategies import FIELDS, FOREIGN_BYTES, damaged

ACCEPT_DATA = Accept.of(("json", "msgpack", "yaml"))
COMPRESSIONS = [None, "gzip", "bzip2", "lzma", "zstd", "brotli"]
PACKERS: dict[str, Callable[[Any], bytes]] = {
    "msgpack": msgspec.msgpack.encode,
    "pickle": pickle.dumps,
    "yaml": lambda value: library().safe_dump(value).encode(),
}
BOTH_READERS = pytest.mark.parametrize("read", [read_intake, read_request])
GOOD = write_message(
    Call(task="t", id="id-1", queue="q", args=(1, "x"), kwargs={"a": [1]}, headers={"x": {"y": 1}}), origin="o"
)


def test_task_and_id_are_enough() -> None:
    request = read_request(message({"task": "t", "id": "i"}, [[1], {}, {}]))

    assert (request.task, request.id, request.args) == ("t", "i", [1])
    assert (request.retries, request.timelimit, request.stamps, request.argsrepr) == (0, (None, None), {}, "")
    assert (request.root_id, request.ignore_result, request.headers) == (None, None, {})


def test_task_and_id_are_enough_for_the_intake() -> None:
    assert read_intake(message({"task": "t", "id": "i"})) == Intake("t", "i", None, None, 0, None, 2)


@pytest.mark.parametrize("embed", [None, {}, {"chain": None}, EMBED, {"unknown": 1}])
def test_what_follows_may_be_left_out(embed: Any) -> None:
    request = read_request(message(body=[[1], {"a": 2}, embed]))

    assert (request.args, request.kwargs, request.chain) == ([1], {"a": 2}, None)


def test_no_arguments_may_be_null() -> None:
    request = read_request(message(body=[None, None, None]))

    assert (request.args, request.kwargs) == ([], {})


@pytest.mark.parametrize(
    "name", ["shadow", "retries", "timelimit", "stamps", "argsrepr", "replaced_task_nesting", "eta", "expires", "lang"]
)
def test_a_null_header_is_an_absent_one(name: str) -> None:
    with_null, without = with_headers(**{name: None}), with_headers()

    assert read_request(with_null) == read_request(without)
    assert read_intake(with_null) == read_intake(without)


@pytest.mark.parametrize("others", [{}, {"custom": 1}, {"custom": None, "x": [1]}])
def test_limits_of_time_are_read_with_the_facts(others: dict[str, Any]) -> None:
    facts = read_intake(with_headers(timelimit=[30, 0.5], **others))

    assert (facts.time_limit, facts.soft_time_limit) == (30, 0.5)
    assert read_intake(with_headers(timelimit=[None, 2], **others)).soft_time_limit == 2


def test_limits_of_time_of_protocol_1_are_read_with_the_facts() -> None:
    facts = read_intake(message({}, {"task": "t", "id": "i", "timelimit": [30, 20]}))

    assert (facts.time_limit, facts.soft_time_limit) == (30, 20)


@pytest.mark.parametrize("others", [{}, {"custom": 1}])
@pytest.mark.parametrize("odd", ["3", [1], [1, 2, 3], ["a", None], {"hard": 1}])
def test_odd_limits_of_time_are_refused(odd: Any, others: dict[str, Any]) -> None:
    with pytest.raises(DecodeError):
        read_intake(with_headers(timelimit=odd, **others))


def test_an_empty_time_is_none() -> None:
    assert read_intake(with_headers(eta="", expires="")).eta_at is None


def test_headers_may_be_anything_python_writes_as_json() -> None:
    request = read_request(message(b'{"task": "t", "id": "i", "x": NaN, "y": "\\ud800"}'))

    assert request.headers.keys() == {"x", "y"}


def test_an_id_that_was_passed_as_a_uuid_is_text() -> None:
    task_id = UUID(int=5)
    found = with_headers(id={"__type__": "uuid", "__value__": {"hex": task_id.hex}})

    assert read_request(found).id == read_intake(found).id == str(task_id)


def test_an_eta_that_was_passed_as_a_datetime_is_text() -> None:
    found = with_headers(eta={"__type__": "datetime", "__value__": "2030-01-02T03:04:05"})

    assert read_request(found).eta == "2030-01-02T03:04:05"
    assert read_intake(found).eta_at == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()


def test_tagged_values_in_custom_headers_and_stamps_are_made() -> None:
    tagged = {"__type__": "bytes", "__value__": "abc"}

    request = read_request(with_headers(x=[tagged], stamps={"s": tagged}))

    assert (request.headers, request.stamps) == ({"x": [b"abc"]}, {"s": b"abc"})


def test_what_belongs_to_one_delivery_is_no_custom_header() -> None:
    request = read_request(
        with_headers(
            **{"x": 1, "redelivered": True, "x-death": [{"count": 1}], "x-first-death-queue": "q", "x-deaths": 2}
        )
    )

    assert request.headers == {"x": 1}


def test_properties_reach_the_request() -> None:
    found = message(properties=b'{"reply_to": "r", "correlation_id": "c"}', priority=3)

    request = read_request(found)

    assert (request.reply_to, request.correlation_id, request.priority) == ("r", "c", 3)


def test_the_correlation_id_is_the_id_unless_it_is_told() -> None:
    assert read_request(message()).correlation_id == "id-1"


def test_protocol_1_needs_only_task_and_id() -> None:
    found = message({}, {"task": "t", "id": "i"})

    request = read_request(found)

    assert (request.task, request.id, request.args, request.kwargs) == ("t", "i", [], {})
    assert read_intake(found) == Intake("t", "i", None, None, 0, None, 1)


def test_all_headers_of_protocol_1_are_custom() -> None:
    assert read_request(message({"x": 1}, {"task": "t", "id": "i"})).headers == {"x": 1}


def test_a_taskset_is_the_group() -> None:
    body = {"task": "t", "id": "i", "group": "g", "taskset": "s"}

    assert read_request(message({}, body)).group == "s"


def test_a_null_taskset_is_no_group() -> None:
    body = {"task": "t", "id": "i", "group": "g", "taskset": None}

    assert read_request(message({}, body)).group is None


@pytest.mark.parametrize(
    ("utc", "instant"),
    [
        (True, datetime(2030, 1, 2, 3, tzinfo=UTC)),
        (None, datetime(2030, 1, 2, 3, tzinfo=UTC)),
        (False, datetime(2030, 1, 2, 2, tzinfo=UTC)),
    ],
)
def test_protocol_1_says_itself_whether_its_times_are_in_utc(utc: bool | None, instant: datetime) -> None:
    body = {"task": "t", "id": "i", "eta": "2030-01-02T03:00:00", "utc": utc}

    intake = read_intake(message({}, body), zone=ZoneInfo("Europe/Berlin"))

    assert intake.eta_at == instant.timestamp()


def test_a_tagged_id_in_protocol_1_is_text() -> None:
    body = {"task": "t", "id": {"__type__": "uuid", "__value__": {"hex": UUID(int=5).hex}}, "retries": 2}

    assert read_intake(message({}, body)) == Intake("t", str(UUID(int=5)), None, None, 2, None, 1)


def test_headers_win_over_a_body_of_protocol_1() -> None:
    body = {"task": "t1", "id": "i1", "args": [1], "kwargs": {"a": 2}, "retries": 1, "callbacks": [{}], "group": "g"}

    request = read_request(message({"task": "t2", "id": "i2", "retries": 5, "x": 1}, body))

    assert (request.task, request.id, request.retries, request.group) == ("t2", "i2", 5, "g")
    assert (request.args, request.kwargs, request.callbacks, request.headers) == ([1], {"a": 2}, [{}], {"x": 1})


@BOTH_READERS
@pytest.mark.parametrize(
    ("headers", "complaint"),
    [
        (b"", "is not JSON"),
        (b"nonsense", "is not JSON"),
        (b"\xff\xff", "is not JSON"),
        (b"[1, 2]", "headers are a JSON list"),
        (b"null", "headers are a JSON NoneType"),
        ({"task": "t"}, "no task id"),
        ({"task": "t", "id": ""}, "no task id"),
        ({"task": "t", "id": 5}, r"Expected `str`, got `int` - at `\$.id`"),
        ({"task": 5, "id": "i"}, r"at `\$.task`"),
        ({"task": "t", "id": "i" * 256}, "id of 256 characters"),
        ({"task": "t" * 1025, "id": "i"}, "task name of 1025"),
        ({"task": "t", "id": "\ud800"}, "is not text"),
        ({"task": "t", "id": "i\0"}, r"id 'i\\x00' holds a NUL"),
        ({"task": "t\0", "id": "i"}, r"task name 't\\x00' .* holds a NUL"),
        ({"task": "t", "id": "i", "retries": "1"}, r"at `\$.retries`"),
        ({"task": "t", "id": "i", "retries": -1}, r"at `\$.retries`"),
        ({"task": "t", "id": "i", "retries": 2**31}, r"at `\$.retries`"),
        ({"task": "t", "id": "i", "retries": True}, r"at `\$.retries`"),
        ({"task": "t", "id": "i", "eta": 5}, r"at `\$.eta`"),
        ({"task": "t", "id": "i", "expires": [5]}, r"at `\$.expires`"),
        ({"task": "t", "id": "i", "ignore_result": "no"}, r"at `\$.ignore_result`"),
        ({"task": "t", "id": "i", "x": {"__type__": "no", "__value__": 1}, "retries": ""}, "unknown type 'no'"),
    ],
)
def test_wrong_headers_are_refused_with_the_reason(read: Any, headers: Any, complaint: str) -> None:
    with pytest.raises(DecodeError, match=complaint):
        read(message(headers))


@pytest.mark.parametrize("field", ["eta", "expires"])
@pytest.mark.parametrize("text", ["soon", "2030-99-01T00:00:00Z"])
def test_a_time_that_is_none_is_refused_by_name(field: str, text: str) -> None:
    with pytest.raises(DecodeError, match=f"{field}: '{text}' is not an ISO 8601 time"):
        read_intake(with_headers(**{field: text}))


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("timelimit", [1]),
        ("timelimit", ["1", 2]),
        ("timelimit", 5),
        ("group_index", "x"),
        ("stamps", []),
        ("stamped_headers", "x"),
        ("stamped_headers", [1]),
        ("argsrepr", 5),
        ("replaced_task_nesting", "x"),
        ("shadow", {}),
        ("lang", 1),
    ],
)
def test_a_header_of_the_wrong_type_is_refused_by_name(header: str, value: Any) -> None:
    with pytest.raises(DecodeError, match=rf"\$\.{header}"):
        read_request(with_headers(**{header: value}))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nonsense",
        b"\x80\x04]",
        [],
        [[], {}],
        [[], {}, {}, {}],
        [{}, [], {}],
        ["x", {}, {}],
        [[], [], [1]],
        [[], {}, []],
        [[], {}, {"callbacks": {}}],
        [[], {}, {"chain": "x"}],
        [[], {}, {"chord": [1]}],
        5,
        [[{"__type__": "no", "__value__": 1}], {}, {}],
    ],
)
def test_a_body_of_another_shape_is_refused(body: Any) -> None:
    with pytest.raises(DecodeError):
        read_request(message(body=body))


@BOTH_READERS
@pytest.mark.parametrize("body", [[[], {}, {}], [1], 5, b"x", {}, {"id": "i"}, {"task": "t"}, {"task": 5, "id": "i"}])
def test_a_message_that_names_no_task_anywhere_is_refused(read: Any, body: Any) -> None:
    with pytest.raises(DecodeError):
        read(message({}, body))


@pytest.mark.parametrize("field", ["args", "kwargs", "callbacks", "timelimit", "chord"])
def test_a_field_of_the_wrong_type_in_protocol_1_is_refused_by_name(field: str) -> None:
    with pytest.raises(DecodeError, match=field):
        read_request(message({}, {"task": "t", "id": "i", field: "x"}))


@pytest.mark.parametrize("properties", [b"[]", b"x", b"5"])
def test_wrong_properties_are_refused(properties: bytes) -> None:
    with pytest.raises(DecodeError):
        read_request(message(properties=properties))


@BOTH_READERS
def test_content_of_another_type_is_refused_by_name(read: Any) -> None:
    with pytest.raises(ContentDisallowed, match="'application/x-python-serialize', not in accept_content"):
        read(message(content_type="application/x-python-serialize"))


@pytest.mark.parametrize(
    ("compression", "text"),
    [
        ("application/x-gzip", "77 bytes cannot be decompressed as application/x-gzip"),
        ("x-none", r"there is no compression 'x-none'; there are gzip, "),
        (5, r"there is no compression 5; there are gzip, "),
    ],
)
def test_a_body_that_cannot_be_decompressed_is_refused_with_the_reason(compression: Any, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        read_request(with_headers(compression=compression))


def test_a_body_that_would_become_too_large_is_refused() -> None:
    bomb = message({"task": "t", "id": "i", "compression": "gzip"}, zlib.compress(b"[" + b" " * 100_000))

    with pytest.raises(DecodeError, match=r"more than 50000 when decompressed \(message_max_bytes\)"):
        read_request(bomb, limits=Limits(max_bytes=50_000))


V1 = {"task": "t", "id": "i", "args": [1], "retries": 2}


@pytest.mark.parametrize(
    ("name", "compression"), [("json", None), ("json", "bzip2"), ("msgpack", None), ("msgpack", "zstd")]
)
def test_protocol_1_is_read_in_other_forms(name: str, compression: str | None) -> None:
    writer = serializer_named(name)
    body, headers = writer.dumps(V1), {}
    if compression is not None:
        body, headers["compression"] = compress(body, compression)
    old = message(headers, body, content_type=writer.content_type)

    intake = read_intake(old, accept=Accept.of((name,)))
    request = read_request(old, accept=Accept.of((name,)))

    assert (intake.task, intake.id, intake.retries, intake.protocol) == ("t", "i", 2, 1)
    assert (request.task, request.id, request.args, request.headers) == ("t", "i", [1], {})


@pytest.mark.parametrize("name", ["yaml", "pickle"])
def test_protocol_1_is_not_decoded_for_a_decision_where_that_takes_more_than_data(name: str) -> None:
    writer = serializer_named(name)
    old = message({}, writer.dumps(V1), content_type=writer.content_type)

    with pytest.raises(ContentDisallowed, match=r"protocol 1, which tells its task in the body"):
        read_intake(old, accept=Accept.of((name,), pickle_queues=("q",)))


class Boom:
    """Tell of having been unpickled."""

    unpickled = False

    def __reduce__(self) -> Any:
        return setattr, (Boom, "unpickled", True)


@pytest.mark.parametrize(
    ("accept", "text"),
    [
        (Accept.of(("json",)), r"'application/x-python-serialize', not in accept_content \['json'\]"),
        (Accept.of(("pickle",)), r"its queue 'q' is not in accept_pickle_from \[\]"),
        (Accept.of(("pickle",), pickle_queues=("other",)), r"is not in accept_pickle_from \['other'\]"),
        (Accept.of(("json",), pickle_queues=("q",)), r"not in accept_content \['json'\]"),
    ],
)
@BOTH_READERS
def test_a_pickle_is_refused_unless_content_and_queue_are_accepted(read: Any, accept: Accept, text: str) -> None:
    pickled = message(body=pickle.dumps(([Boom()], {}, None), 4), content_type="application/x-python-serialize")

    with pytest.raises(ContentDisallowed, match=text):
        read(pickled, accept=accept)

    assert not Boom.unpickled


def test_the_intake_of_an_accepted_pickle_unpickles_nothing() -> None:
    pickled = message(body=pickle.dumps(([Boom()], {}, None), 4), content_type="application/x-python-serialize")

    intake = read_intake(pickled, accept=Accept.of(("pickle",), pickle_queues=("q",)))

    assert (intake.task, Boom.unpickled) == ("t", False)


@pytest.mark.parametrize("name", ["msgpack", "yaml", "pickle"])
@pytest.mark.parametrize("body", [[1, 2], "x", None, [[1], {}, 5], [1, {}, {}], [[1], [2], {}], [[1], {1: 2}, {}]])
def test_a_body_that_is_no_call_is_refused_whatever_its_serializer(name: str, body: Any) -> None:
    data = PACKERS[name](body)
    accept = Accept.of((name,), pickle_queues=("q",))

    with pytest.raises(DecodeError):
        read_request(message(body=data, content_type=serializer_named(name).content_type), accept=accept)


@given(data=FOREIGN_BYTES, name=st.sampled_from(["json", "msgpack", "yaml"]), packed=st.sampled_from(COMPRESSIONS))
def test_any_bytes_are_read_or_refused_whatever_they_say_they_are(data: bytes, name: str, packed: str | None) -> None:
    headers = {"task": "t", "id": "i"} | ({} if packed is None else {"compression": packed})
    for body in (data, data if packed is None else compress(data, packed)[0]):
        for head in (headers, {name: value for name, value in headers.items() if name == "compression"}):
            strange = message(head, body, content_type=serializer_named(name).content_type)
            refusal(read_intake, strange, accept=ACCEPT_DATA)
            refusal(read_request, strange, accept=ACCEPT_DATA)


@BOTH_READERS
def test_a_message_over_the_limit_is_refused_with_its_size(read: Any) -> None:
    with pytest.raises(DecodeError, match=r"message id-1 of 1\d\d bytes is over the limit of 100"):
        read(message(), limits=Limits(max_bytes=100))


@BOTH_READERS
def test_headers_that_are_too_long_are_refused(read: Any) -> None:
    with pytest.raises(DecodeError, match="over the limit of 262144"):
        read(with_headers(x="y" * 262_144))


@BOTH_READERS
def test_too_many_headers_are_refused(read: Any) -> None:
    with pytest.raises(DecodeError, match="258 headers are over the limit of 256"):
        read(with_headers(**{f"x-{number}": 1 for number in range(256)}))


@BOTH_READERS
@pytest.mark.parametrize("depth", [128, 100_000])
@pytest.mark.parametrize("name", ["x", "stamps"])
def test_headers_that_are_too_deep_are_refused(read: Any, name: str, depth: int) -> None:
    headers = b'{"task": "t", "id": "i", "%b": {"a": %b0%b}}' % (name.encode(), b"[" * depth, b"]" * depth)

    with pytest.raises(DecodeError, match="deep"):
        read(message(headers), limits=Limits(max_header_bytes=10**6))


@pytest.mark.parametrize("depth", [127, 100_000])
def test_a_body_that_is_too_deep_is_refused(depth: int) -> None:
    with pytest.raises(DecodeError, match="deep"):
        read_request(message(body=b"[[%b0%b], {}, {}]" % (b"[" * depth, b"]" * depth)))


def read_both(found: Message) -> None:
    """Read a message both ways; nothing but a `DecodeError` of bounded length may come of it."""
    for read in (read_intake, read_request):
        assert len(refusal(read, found)) < 5_000


@given(FOREIGN_BYTES, FOREIGN_BYTES, st.none() | FOREIGN_BYTES)
def test_any_bytes_are_a_message_or_a_decode_error(headers: bytes, body: bytes, properties: bytes | None) -> None:
    read_both(message(headers, body, properties=properties))


@given(FIELDS)
def test_any_json_beside_good_headers_is_a_message_or_a_decode_error(fields: dict[str, Any]) -> None:
    read_both(message({"task": "t", "id": "i"} | fields))


@given(FIELDS)
def test_any_json_as_protocol_1_is_a_message_or_a_decode_error(fields: dict[str, Any]) -> None:
    read_both(message({}, {"task": "t", "id": "i"} | fields))


@given(damaged(GOOD.headers), damaged(GOOD.body))
def test_a_damaged_message_is_a_message_or_a_decode_error(headers: bytes, body: bytes) -> None:
    read_both(message(headers, body))


@given(FIELDS)
def test_what_the_supervisor_accepts_the_child_accepts_as_the_same(fields: dict[str, Any]) -> None:
    found = message({"task": "t", "id": "i"} | fields)
    try:
        request = read_request(found)
        intake = read_intake(found)
    except DecodeError:
        return

    assert (intake.task, intake.id, intake.retries, intake.ignore_result) == (
        request.task,
        request.id,
        request.retries,
        request.ignore_result,
    )


def test_the_good_message_of_these_tests_is_good() -> None:
    assert read_request(GOOD).headers == {"x": {"y": 1}}
    assert read_intake(GOOD).task == "t"
    assert json.loads(GOOD.headers)["x"] == {"y": 1}


@pytest.mark.parametrize("limits", ["[NaN, 1]", "[1, Infinity]", "[-1, null]", "[1e300, 1]", '["1", 1]'])
def test_a_time_limit_that_is_no_time_is_refused(limits: str) -> None:
    head = f'{{"task": "t", "id": "i", "timelimit": {limits}, "tenant": "a"}}'.encode()

    assert "timelimit" in refusal(read_request, message(head))
