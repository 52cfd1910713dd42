from __future__ import annotations

import contextlib
import json
import pickle
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, ClassVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from celeriac.exceptions import ContentDisallowed, DecodeError, EncodeError, ImproperlyConfigured
from celeriac.wire import msgpacks, serializers, yamls
from celeriac.wire.protocol import Call, read_request, write_message
from celeriac.wire.serializers import Accept, reader_of, register, serializer_named, unregister, writer_named
from tests.unit.wire.messages import message
from tests.unit.wire.strategies import ARGUMENTS, FOREIGN_BYTES, PLAIN_SCALARS, damaged, nested

NAMES = ["json", "msgpack", "yaml", "pickle"]
BY_NAME = pytest.mark.parametrize("name", NAMES)
ALL = Accept.of(NAMES, pickle_queues=("q",))


SMALL = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
TEXT = st.text(max_size=7)
VALUES = {
    "json": ARGUMENTS,
    "msgpack": nested(SMALL | TEXT | st.binary(max_size=8)),
    "yaml": nested(
        PLAIN_SCALARS | st.binary(max_size=8) | st.dates() | st.datetimes() | st.datetimes(timezones=st.just(UTC))
    ),
    "pickle": nested(ARGUMENTS | st.frozensets(st.integers()) | st.tuples(st.integers())),
}
ROUND_TRIPS = st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), VALUES[name]))


@given(case=ROUND_TRIPS, compression=st.sampled_from([None, "gzip", "bzip2", "lzma", "zstd", "brotli"]))
def test_a_call_arrives_as_it_was_sent(case: tuple[str, Any], compression: str | None) -> None:
    name, value = case
    call = Call(
        task="t", id="i", queue="q", args=(value, 1), kwargs={"k": value}, serializer=name, compression=compression
    )

    request = read_request(write_message(call, origin="o"), accept=ALL)

    assert (request.args, request.kwargs) == ([value, 1], {"k": value})


@given(case=ROUND_TRIPS)
def test_a_value_comes_back_as_it_was(case: tuple[str, Any]) -> None:
    name, value = case
    serializer = serializer_named(name)

    assert serializer.loads(serializer.dumps(value)) == value


@given(data=FOREIGN_BYTES, name=st.sampled_from(["json", "msgpack", "yaml", "raw"]))
@example(data=b"\xdf\xff\xff\xff\xff", name="msgpack")
@example(data=b"\xd4\x05\x00", name="msgpack")
@example(data=b"\x81\x80\x02", name="msgpack")
@example(data=b"!!int ''", name="yaml")
@example(data=b"!!bool x", name="yaml")
@example(data=b"!!timestamp x", name="yaml")
@example(data=b"&a [*a]", name="yaml")
@example(data=b"[" * 5000, name="yaml")
@example(data=b"- " * 5000, name="yaml")
@example(data=b"!!python/object/apply:os.getpid []", name="yaml")
@example(data=b"? [a]\n: 1", name="yaml")
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    with contextlib.suppress(DecodeError):
        serializer_named(name).loads(data, name="body")


@given(data=st.data(), name=st.sampled_from(["msgpack", "yaml"]))
def test_damaged_bytes_are_read_or_refused(data: st.DataObject, name: str) -> None:
    serializer = serializer_named(name)
    good = serializer.dumps([[1, "x", None], {"a": [1.5, True, b"y"]}, {"chain": None}])
    with contextlib.suppress(DecodeError):
        serializer.loads(data.draw(damaged(good)))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("msgpack", datetime(2024, 1, 2, tzinfo=UTC), "msgpack cannot carry a datetime"),
        ("msgpack", Decimal(1), "msgpack cannot carry a Decimal"),
        ("msgpack", UUID(int=1), "msgpack cannot carry a UUID"),
        ("msgpack", {1, 2}, "msgpack cannot carry a set"),
        ("msgpack", 2**64, "can't serialize ints"),
        ("msgpack", "\ud800", "surrogates not allowed"),
        ("yaml", Decimal(1), "YAML cannot carry a Decimal"),
        ("json", {1, 2}, "JSON cannot carry a set"),
        ("pickle", lambda: 1, "pickle"),
    ],
)
def test_an_argument_that_cannot_be_carried_is_named(name: str, value: Any, text: str) -> None:
    call = Call(task="t", id="i", queue="q", args=(1,), kwargs={"x": {"y": [value]}}, serializer=name)

    with pytest.raises(EncodeError, match=rf"kwargs\['x'\]\['y'\]\[0\] cannot be written as .*{text}"):
        write_message(call, origin="o")


def test_msgpack_has_no_numbers_for_keys() -> None:
    with pytest.raises(EncodeError, match=r"args\[0\] has the key 1; msgpack has only text for keys"):
        write_message(Call(task="t", id="i", queue="q", args=({1: 2},), serializer="msgpack"), origin="o")


def test_msgpack_keeps_bytes_and_text_apart() -> None:
    assert msgpacks.dumps(["a", b"a", bytearray(b"b"), (1,)]) == b"\x94\xa1a\xc4\x01a\xc4\x01b\x91\x01"


def test_a_timestamp_of_another_writer_is_read() -> None:
    at = datetime(2024, 1, 2, tzinfo=UTC)

    assert msgpacks.loads(msgspec.msgpack.encode([at])) == [at]


@pytest.mark.parametrize("data", [b"\x91" * 200 + b"\x01", b"\x91" * 100_000])
def test_msgpack_that_is_nested_too_deep_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match=r"body: .*(deep|recursion)"):
        msgpacks.loads(data, name="body")


def test_yaml_is_safe_and_in_blocks() -> None:
    assert yamls.dumps({"b": [1, "x"], "a": date(2024, 1, 2)}) == b"a: 2024-01-02\nb:\n- 1\n- x\n"


BOMB = b"a: &a [x, x, x, x, x, x, x, x, x, x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (char, char, b", ".join([b"*%c" % (char - 1)] * 10)) for char in range(ord("b"), ord("j"))
)
MERGES = b"a: &a {k: 1}\n" + b"".join(
    b"%c: &%c {<<: [%s]}\n" % (char, char, b", ".join([b"*%c" % (char - 1)] * 10)) for char in range(ord("b"), ord("j"))
)
DEEP = b"a: &a [x]\n" + b"".join(
    b"a%d: &a%d [[[*a%s]]]\n" % (n, n, str(n - 1).encode() if n else b"") for n in range(60)
)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (BOMB, "comes to more than 1000000 values"),
        (MERGES, "comes to more than 1000000 values"),
        (DEEP, "nested more than 128 deep"),
        (b"&a [[*a]]", "nested more than 128 deep"),
        (b"[" * 200 + b"]" * 200, "nested more than 128 deep"),
        (b"1:" + b"1:" * 10_000 + b"1", "a number of 20003 characters"),
    ],
)
def test_yaml_that_grows_when_it_is_read_is_refused(data: bytes, text: str) -> None:
    with pytest.raises(DecodeError, match=text):
        yamls.loads(data)


def test_yaml_that_shares_parts_is_read() -> None:
    assert yamls.loads(b"- &a [1, 2]\n- *a\n") == [[1, 2], [1, 2]]


@pytest.fixture
def without_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)


@pytest.mark.usefixtures("without_yaml")
def test_a_missing_library_is_named_with_its_extra() -> None:
    extra = r'pip install "celeriac\[yaml\]"'

    with pytest.raises(EncodeError, match=extra):
        yamls.dumps(1)
    with pytest.raises(DecodeError, match=extra):
        yamls.loads(b"1")
    with pytest.raises(ImproperlyConfigured, match=extra):
        Accept.of(("json", "yaml"))


def read_upper(data: bytes) -> Any:
    return eval(data.decode().swapcase())


@pytest.fixture
def upper() -> Iterator[str]:
    register("upper", lambda value: repr(value).swapcase(), read_upper, "application/x-upper")
    yield "upper"
    unregister("upper")


def test_a_registered_serializer_carries_calls(upper: str) -> None:
    call = Call(task="t", id="i", queue="q", args=("a", 1), serializer=upper)

    sent = write_message(call, origin="o")
    request = read_request(sent, accept=Accept.of((upper,)))

    assert (sent.content_type, sent.content_encoding) == ("application/x-upper", "utf-8")
    assert sent.body.startswith(b"(('A', 1), {}, {'CALLBACKS': nONE")
    assert request.args == ["a", 1]


def test_what_a_registered_serializer_raises_is_named(upper: str) -> None:
    class Unwritable:
        def __repr__(self) -> str:
            raise OSError("no")

    with pytest.raises(EncodeError, match=r"args\[1\] cannot be written as upper: no"):
        write_message(Call(task="t", id="i", queue="q", args=(1, Unwritable()), serializer=upper), origin="o")
    with pytest.raises(DecodeError, match=r"body: 5 bytes cannot be read as upper: NameError: name 'boing'"):
        reader_of("application/x-upper").loads(b"BOING", name="body")


def test_a_serializer_can_be_found_by_its_content_type() -> None:
    assert serializer_named("application/x-yaml") is serializer_named("yaml")


def test_registering_again_replaces(upper: str) -> None:
    register(upper, lambda value: b"1", None, "application/x-other", "binary")

    assert writer_named(upper).content_encoding == "binary"
    with pytest.raises(DecodeError, match="no serializer here reads 'application/x-upper'"):
        reader_of("application/x-upper")
    with pytest.raises(DecodeError, match="registered without a decoder"):
        reader_of("application/x-other").loads(b"1")


@pytest.mark.parametrize(("name", "content_type"), [("json", "application/x-mine"), ("mine", "application/json")])
def test_what_celeriac_brings_is_not_replaced_by_accident(name: str, content_type: str) -> None:
    with pytest.raises(ValueError, match=r"'json' \(application/json\) is a serializer of celeriac"):
        register(name, repr, eval, content_type)


def test_json_stays() -> None:
    with pytest.raises(ValueError, match="JSON cannot be unregistered"):
        unregister("json")


def test_an_unknown_serializer_is_named_with_those_there_are() -> None:
    with pytest.raises(EncodeError, match="there is no serializer 'jsn'; there are json, msgpack"):
        write_message(Call(task="t", id="i", queue="q", serializer="jsn"), origin="o")
    with pytest.raises(ImproperlyConfigured, match="accept_content names 'jsn': there is no serializer 'jsn'"):
        Accept.of(("jsn",))
    with pytest.raises(LookupError, match="there is no serializer 'jsn'"):
        unregister("jsn")


def test_raw_carries_bytes_and_text_and_no_calls() -> None:
    raw = serializer_named("raw")

    assert (raw.dumps(b"\xff"), raw.dumps("é"), raw.loads(b"\xff")) == (b"\xff", "é".encode(), b"\xff")
    with pytest.raises(EncodeError, match=r"args is a tuple; raw carries bytes and text, as they are"):
        write_message(Call(task="t", id="i", queue="q", serializer="raw"), origin="o")


def test_content_is_accepted_by_name_or_type() -> None:
    accept = Accept.of(("msgpack", "application/json"))

    accept.check(message(content_type="application/x-msgpack"))
    accept.check(message(content_type="application/json"))
    with pytest.raises(ContentDisallowed, match=r"is 'text/plain', not in accept_content \['msgpack', 'applic"):
        accept.check(message(content_type="text/plain"))


def test_pickles_are_written_in_the_protocol_that_celery_uses() -> None:
    assert serializers.PICKLE.dumps(1) == pickle.dumps(1, protocol=4)


def test_what_is_registered_with_kombu_itself_is_known_where_that_is_imported(monkeypatch):
    class Registry:
        name_to_type: ClassVar = {"shouting": "application/x-shout"}
        type_to_name: ClassVar = {"application/x-shout": "shouting"}
        _encoders: ClassVar = {"shouting": SimpleNamespace(content_encoding="utf-8")}

    def dumps(value, serializer):
        return "application/x-shout", "utf-8", json.dumps(value).upper()

    def loads(data, content_type, content_encoding, *, force):
        assert (content_type, content_encoding, force) == ("application/x-shout", "utf-8", True)
        return json.loads(bytes(data).decode().lower())

    kombu = SimpleNamespace(registry=Registry(), dumps=dumps, loads=loads)
    monkeypatch.setitem(sys.modules, "kombu.serialization", kombu)
    try:
        shouting = reader_of("application/x-shout")

        assert serializer_named("shouting") is shouting
        assert shouting.loads(shouting.dumps({"a": [1]})) == {"a": [1]}
        with pytest.raises(LookupError):
            serializer_named("whispering")
    finally:
        unregister("shouting")
