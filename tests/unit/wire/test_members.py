from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from celeriac.exceptions import ContentDisallowed, DecodeError, EncodeError, MessageTooLarge
from celeriac.states import FAILURE, SUCCESS
from celeriac.wire.forms import RecordForm
from celeriac.wire.members import Item, read_item, told_by_item, write_item
from celeriac.wire.serializers import MSGPACK, PICKLE, YAML, register, serializer_named, unregister

VALUES = [5, None, "é", [1, {"x": 2.5}], {"exc_type": "ValueError", "exc_message": ["no"], "exc_module": "builtins"}]


def test_an_item_is_what_celery_keeps():
    assert write_item("id-1", SUCCESS, 5) == b'[1, "id-1", "SUCCESS", 5]'
    read = read_item(b'[1,"id-1","FAILURE",{"exc_type":"ValueError"}]')
    assert read == Item("id-1", "FAILURE", {"exc_type": "ValueError"})


@pytest.mark.parametrize("serializer", [None, MSGPACK, PICKLE, YAML])
@pytest.mark.parametrize("value", VALUES)
def test_a_value_comes_back(serializer, value):
    form = RecordForm()
    if serializer is not None:
        form = RecordForm(serializer=serializer, accept=frozenset({"json", serializer.name}))

    assert read_item(write_item("id-1", FAILURE, value, form), form) == Item("id-1", FAILURE, value)


def test_what_others_have_written_is_read_whatever_is_written_here():
    form = RecordForm(serializer=YAML, accept=frozenset({"json", "yaml", "msgpack", "pickle"}))

    items = [b'[1, "a", "SUCCESS", 1]', MSGPACK.dumps([1, "a", "SUCCESS", 2]), pickle.dumps([1, "a", "SUCCESS", 3])]

    assert [read_item(item, form).value for item in items] == [1, 2, 3]


@pytest.mark.parametrize(
    "item", [b'[1, "a", "FAILURE", {}]', b'[1,"a","FAILURE",{}]', MSGPACK.dumps([1, "a", "FAILURE", {}])]
)
def test_an_item_tells_its_id_and_state_by_its_bytes(item):
    assert told_by_item(item) == ("a", "FAILURE")


@pytest.mark.parametrize("item", [pickle.dumps([1, "a", "FAILURE", {}]), b"", b"[1, 2]", b"\x94\xff", b"- 1"])
def test_nothing_is_built_of_an_item_for_its_id(item):
    assert told_by_item(item) == ("", "")


def test_a_pickle_is_not_opened_unless_it_is_accepted():
    with pytest.raises(ContentDisallowed, match="add 'pickle'"):
        read_item(pickle.dumps([1, "a", "SUCCESS", 3]))


@pytest.mark.parametrize(
    "item", [b"", b"{}", b"[1, 2]", b'[1, "a", "SUCCESS"', b'{"status": "SUCCESS"}', b"\xff", b"[1, 2, 3, 4]"]
)
def test_what_is_no_item_is_refused(item):
    with pytest.raises(DecodeError):
        read_item(item)


def test_what_cannot_be_carried_is_named():
    with pytest.raises(EncodeError, match=r"result\[1\]"):
        write_item("id-1", SUCCESS, [1, object()])
    with pytest.raises(MessageTooLarge, match="member id-1 of a chord"):
        write_item("id-1", SUCCESS, "x" * 100, RecordForm(record_max_bytes=100))


def test_a_value_of_the_deepest_kind_can_still_be_read():
    value = json.loads("[" * 126 + "]" * 126)

    assert read_item(write_item("id-1", SUCCESS, value)).value == value


def test_what_a_registered_serializer_wrote_as_json_is_read_by_it_too():
    def read(data: bytes) -> Any:
        return json.loads(data, object_hook=lambda fields: {fields["is"]})

    register("marked", lambda value: json.dumps(value, default=lambda one: {"is": min(one)}), read, "application/x-m")
    try:
        form = RecordForm(serializer=serializer_named("marked"), accept=frozenset({"marked", "json"}))

        assert read_item(write_item("a", SUCCESS, {5}, form), form).value == {5}
        assert read_item(write_item("a", SUCCESS, 5, form.without_code_of_users()), form).value == 5
    finally:
        unregister("marked")
