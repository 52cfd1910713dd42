from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from celeriac import exceptions
from celeriac.exceptions import (
    BrokerFull,
    DecodeError,
    EncodeError,
    MessageTooLarge,
    NotRegistered,
    RemoteError,
    Retry,
    WorkerLostError,
)
from celeriac.states import ALL_STATES
from celeriac.wire.results import exception_from_map, exception_map, read_record, write_record
from tests.unit.wire.messages import refusal
from tests.unit.wire.strategies import ARGUMENTS, FIELDS, FOREIGN_BYTES, TEXT, damaged

OPTIONAL_TEXT = st.none() | TEXT
DONE: dict[str, Any] = {"task_id": "i", "state": "SUCCESS", "date_done": "2030-01-02T03:04:05+00:00"}
GOOD = write_record(**DONE, result={"a": [1]}, children=[[["c", None], None]])


@given(
    task_id=TEXT,
    state=st.sampled_from(sorted(ALL_STATES)) | TEXT,
    result=ARGUMENTS,
    traceback=OPTIONAL_TEXT,
    children=st.none() | st.lists(ARGUMENTS, max_size=2),
    date_done=OPTIONAL_TEXT,
    parent_id=OPTIONAL_TEXT,
    group_id=OPTIONAL_TEXT,
)
def test_a_record_is_read_back_as_it_was_written(state: str, **fields: Any) -> None:
    record = read_record(write_record(state=state, **fields))

    assert {name: getattr(record, name) for name in fields} == fields
    assert record.status == state


@given(ARGUMENTS)
def test_a_record_is_the_text_that_python_would_write(result: Any) -> None:
    written = write_record(**DONE, result=result)

    assert json.dumps(json.loads(written)).encode() == written


def test_the_keys_stand_in_celerys_order() -> None:
    written = write_record(**DONE, result=1, parent_id="p", group_id="g", extended={"name": "t", "tenant": 1})

    assert list(json.loads(written)) == [
        *("status", "result", "traceback", "children", "date_done"),
        *("group_id", "parent_id", "name", "tenant", "task_id"),
    ]


def test_links_that_there_are_not_are_left_out() -> None:
    assert json.loads(write_record(**DONE, result=1)).keys() == {
        *("status", "result", "traceback", "children", "date_done", "task_id")
    }


def test_keys_that_are_not_celerys_are_kept_aside() -> None:
    record = read_record(write_record(**DONE, result=1, extended={"worker": "w", "tenant": "t1", "more": 5}))

    assert (record.worker, record.more) == ("w", {"tenant": "t1", "more": 5})


@pytest.mark.parametrize(
    ("result", "complaint"),
    [
        ({"x": [1, object()]}, r"^result\['x'\]\[1\] cannot be written as JSON"),
        ({1, 2}, r"^result cannot be written as JSON: JSON cannot carry a set"),
    ],
)
def test_the_part_of_a_result_that_cannot_be_written_is_named(result: Any, complaint: str) -> None:
    with pytest.raises(EncodeError, match=complaint):
        write_record(**DONE, result=result)


def test_a_result_may_be_written_as_deep_as_it_may_be_read() -> None:
    deepest: list[Any] = []
    for _ in range(126):
        deepest = [deepest]

    assert read_record(write_record(**DONE, result=deepest)).result == deepest
    with pytest.raises(MessageTooLarge, match="result is nested more than 127 deep; flatten it; no setting raises"):
        write_record(**DONE, result=[deepest])


@pytest.mark.parametrize(
    "record", [b"", b"[]", b"{}", b'{"status": 5}', b'{"status": null, "result": 1}', b"x", b'"SUCCESS"']
)
def test_what_is_no_record_is_refused(record: bytes) -> None:
    with pytest.raises(DecodeError):
        read_record(record)


def test_a_field_of_the_wrong_type_is_taken_for_absent() -> None:
    record = read_record(b'{"status": "FAILURE", "traceback": {}, "children": 5, "retries": "x", "stamped_headers": 1}')

    assert (record.traceback, record.children, record.retries, record.stamped_headers) == (None, None, None, None)


@given(FOREIGN_BYTES | damaged(GOOD))
def test_any_bytes_are_a_record_or_a_decode_error(record: bytes) -> None:
    assert len(refusal(read_record, record)) < 1_000


@given(FIELDS)
def test_any_fields_beside_a_status_are_a_record(fields: dict[str, Any]) -> None:
    record = json.dumps(fields | {"status": "SUCCESS"}).encode()

    refused = refusal(read_record, record)

    assert refused == "" or "tagged value" in refused or "does not make" in refused


class Outer:
    class InnerError(Exception):
        pass


class DemandingError(Exception):
    def __init__(self, *, reason: str) -> None:
        super().__init__(reason)


def test_an_exception_is_told_by_class_module_and_arguments() -> None:
    assert exception_map(Outer.InnerError("a", 1)) == {
        "exc_type": "Outer.InnerError",
        "exc_message": ["a", 1],
        "exc_module": __name__,
    }


def test_an_argument_that_json_cannot_carry_is_told_by_its_repr() -> None:
    assert exception_map(ValueError("a", {1}, object))["exc_message"] == ["a", "{1}", "<class 'object'>"]


def test_an_argument_that_is_too_deep_is_told_by_its_repr() -> None:
    deep: list[Any] = []
    for _ in range(125):
        deep = [deep]

    mapped = exception_map(ValueError(deep[0], deep))

    assert mapped["exc_message"] == [deep[0], "[[[[...]]]]"]
    assert read_record(write_record(**DONE, result=mapped)).result == mapped


def test_an_exception_whose_arguments_cannot_be_asked_for_is_told_all_the_same() -> None:
    class Sly(Exception):
        @property
        def args(self) -> Any:  # type: ignore[override]
            raise RuntimeError("no")

    assert exception_map(Sly("x"))["exc_message"] == ["x"]


@pytest.mark.parametrize(
    ("exc", "module"),
    [
        (NotRegistered("t"), "celery.exceptions"),
        (Retry("r"), "celery.exceptions"),
        (DecodeError("d"), "kombu.exceptions"),
        (WorkerLostError("w"), "billiard.exceptions"),
        (BrokerFull("b"), "celeriac.exceptions"),
    ],
)
def test_a_class_that_celery_has_too_is_told_as_celerys(exc: Exception, module: str) -> None:
    assert exception_map(exc)["exc_module"] == module


def told(exc_type: str, exc_module: Any, *args: Any) -> dict[str, Any]:
    return {"exc_type": exc_type, "exc_message": list(args), "exc_module": exc_module}


@pytest.mark.parametrize(
    "exc",
    [
        ValueError("x"),
        KeyError("k"),
        OSError(2, "gone"),
        Outer.InnerError("a", [1]),
        NotRegistered("t"),
        WorkerLostError("w"),
        DecodeError("d"),
        BrokerFull("b"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
    ],
)
def test_an_exception_that_this_program_has_comes_back_as_it_was(exc: Exception) -> None:
    record = read_record(write_record(**DONE, result=exception_map(exc)))

    again = exception_from_map(record.result)

    assert (type(again), again.args) == (type(exc), exc.args)


@pytest.mark.parametrize("name", [name for name in vars(exceptions) if name[0].isupper()])
def test_each_of_our_own_classes_is_found_again(name: str) -> None:
    kind = vars(exceptions)[name]
    if not (isinstance(kind, type) and issubclass(kind, Exception)) or kind is RemoteError:
        return
    exc = kind("x")

    assert type(exception_from_map(exception_map(exc))) is kind


@pytest.mark.parametrize(
    ("exc_type", "exc_module"),
    [
        ("SystemExit", "builtins"),
        ("KeyboardInterrupt", "builtins"),
        ("eval", "builtins"),
        ("object", "builtins"),
        ("ValueError", "no.such.module"),
        ("ValueError", None),
        ("ValueError", 5),
        ("", "builtins"),
        ("..", "builtins"),
        ("ValueError.__init__", "builtins"),
        ("__class__", "builtins"),
        ("system", "os"),
        ("path.join", "os"),
        ("Outer", __name__),
        ("Outer.Missing", __name__),
        ("RestartFreqExceeded", "billiard.exceptions"),
    ],
)
def test_what_is_no_exception_of_this_program_stays_remote(exc_type: str, exc_module: Any) -> None:
    exc = exception_from_map(told(exc_type, exc_module, "1 + 1"), traceback="Traceback ...")

    assert type(exc) is RemoteError
    assert (exc.exc_type, exc.exc_args, exc.traceback) == (exc_type, ("1 + 1",), "Traceback ...")


def test_reading_an_exception_imports_nothing() -> None:
    before = set(sys.modules)

    exception_from_map(told("Chess", "antigravity"))
    exception_from_map(told("Error", "xmlrpc.client"))

    assert set(sys.modules) == before


def test_a_module_is_not_asked_for_what_it_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    module = ModuleType("lazy")
    module.__getattr__ = asked.append  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lazy", module)

    exc = exception_from_map(told("Missing", "lazy"))

    assert isinstance(exc, RemoteError)
    assert asked == []


def test_nothing_that_is_no_exception_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    called = []
    module = ModuleType("trap")
    module.Trap = lambda *args: called.append(args)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "trap", module)

    exception_from_map(told("Trap", "trap", 1))

    assert called == []


def test_an_exception_that_cannot_be_made_of_its_arguments_stays_remote() -> None:
    exc = exception_from_map(exception_map(DemandingError(reason="so")))

    assert isinstance(exc, RemoteError)
    assert str(exc) == f"{__name__}.DemandingError('so')"


def test_a_class_that_makes_something_else_stays_remote(monkeypatch: pytest.MonkeyPatch) -> None:
    class Changeling(Exception):
        def __new__(cls, *args: object) -> Any:
            return "not an exception"

    monkeypatch.setitem(vars(sys.modules[__name__]), "Changeling", Changeling)

    assert isinstance(exception_from_map(told("Changeling", __name__)), RemoteError)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "the worker stored no exception"),
        ("boom", "'boom'"),
        ({}, "{}"),
        ({"exc_type": 5}, "{'exc_type': 5}"),
    ],
)
def test_a_failure_that_tells_no_exception_is_a_generic_one(value: Any, text: str) -> None:
    exc = exception_from_map(value)

    assert isinstance(exc, RemoteError)
    assert exc.exc_args == (text,)


@pytest.mark.parametrize(
    ("message", "args"), [("boom", ("boom",)), (None, ()), (["a", 1], ("a", 1)), ({"a": 1}, ({"a": 1},))]
)
def test_arguments_are_read_in_whatever_form_they_are(message: Any, args: tuple[Any, ...]) -> None:
    exc = exception_from_map({"exc_type": "ValueError", "exc_module": "builtins", "exc_message": message})

    assert exc.args == args


@given(ARGUMENTS | FIELDS, ARGUMENTS, st.sampled_from(["builtins", __name__, "celery.exceptions", None]) | ARGUMENTS)
def test_any_value_is_some_exception(exc_type: Any, message: Any, module: Any) -> None:
    exc = exception_from_map({"exc_type": exc_type, "exc_message": message, "exc_module": module})

    assert isinstance(exc, Exception)
    assert isinstance(exception_map(exc), dict)


class Silent(Exception):
    def __init__(self) -> None:
        super().__init__()

    def __str__(self) -> str:
        return "a text"


class Speaking(Exception):
    def __str__(self) -> str:
        return "a text"


class Broken(Exception):
    def __str__(self) -> str:
        raise OSError


def test_an_exception_without_arguments_is_carried_by_its_text_if_it_can_be_made_of_one() -> None:
    maps = [exception_map(exc)["exc_message"] for exc in (Silent(), Speaking(), Broken(), ValueError(), KeyError())]

    assert maps == [[], ["a text"], [], [], []]
    assert isinstance(exception_from_map(exception_map(Silent())), Silent)
    assert isinstance(exception_from_map(exception_map(Speaking())), Speaking)


def test_an_error_of_pydantic_says_what_was_wrong() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(int).validate_python("x")

    remote = exception_from_map(exception_map(caught.value))

    assert isinstance(remote, RemoteError)
    assert "1 validation error for int" in str(remote)
