"""Result records: Celery's map of what a run came to, and exceptions as values."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii
from types import ModuleType, WrapperDescriptorType
from typing import Any, Final

import msgspec

from celeriac import exceptions
from celeriac.exceptions import DecodeError, EncodeError, RemoteError
from celeriac.states import ALL_STATES
from celeriac.wire.depth import is_text_deeper
from celeriac.wire.forms import JSON_FORM, RecordForm, dump, load, pack, unpack
from celeriac.wire.jsontypes import UNREADABLE, dumps_text, may_have_tags
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.serializers import JSON

_quote: Final = encode_basestring_ascii
_QUOTED_STATES: Final = {state: _quote(state) for state in ALL_STATES}


def write_record(
    *,
    task_id: str,
    state: str,
    result: Any,
    traceback: str | None = None,
    children: Sequence[Any] | None = (),
    date_done: str | None,
    parent_id: str | None = None,
    group_id: str | None = None,
    extended: Mapping[str, Any] | None = None,
    form: RecordForm = JSON_FORM,
) -> bytes:
    """Write what a run came to, keys in Celery's order.

    Args:
        result: the returned value, an exception's map (`exception_map`), or the meta of a custom state.
        children: result tuples of what the task sent, in order; None when that is not known.
        date_done: ISO time, None unless the state is final.
        extended: further keys, as `result_extended` adds them.
        form: serializer and compression.

    Raises:
        EncodeError: the result cannot be written; the text says which part of it.
        MessageTooLarge: it is larger than records may be.
    """
    if form.serializer is not JSON:
        fields: dict[str, Any] = {
            "status": state,
            "result": result,
            "traceback": traceback,
            "children": None if children is None else list(children),
            "date_done": date_done,
        }
        fields |= {} if group_id is None else {"group_id": group_id}
        fields |= {} if parent_id is None else {"parent_id": parent_id}
        fields |= {**(extended or {}), "task_id": task_id}
        return pack(dump(fields, form, max_depth=_MAX_DEPTH), form)
    more = "" if group_id is None else f', "group_id": {_quote(group_id)}'
    if parent_id is not None:
        more += f', "parent_id": {_quote(parent_id)}'
    if extended:
        more += f", {dumps_text(dict(extended), name='extended')[1:-1]}"
    record = (
        f'{{"status": {_QUOTED_STATES.get(state) or _quote(state)}, "result": {value_text(result)}, "traceback": '
        f'{"null" if traceback is None else _quote(traceback)}, "children": {_children_text(children)}, "date_done": '
        f'{"null" if date_done is None else _quote(date_done)}{more}, "task_id": {_quote(task_id)}}}'
    ).encode()
    return pack(record, form)


def value_text(value: Any) -> str:
    """Write a value as JSON, small numbers and texts the short way; `EncodeError` names the part that cannot be."""
    kind = type(value)
    if value is None:
        return "null"
    if kind is int and -_SHORT_INT < value < _SHORT_INT:
        return str(value)
    if kind is str:
        return _quote(value)
    return dumps_text(value, name="result", max_depth=_MAX_DEPTH - 1, cure=_FLATTEN)


_SHORT_INT: Final = 10**18
_MAX_DEPTH: Final = DEFAULT_LIMITS.max_depth
_FLATTEN: Final = "flatten it; no setting raises this limit, which every reader of results has"


def _children_text(children: Sequence[Any] | None) -> str:
    if children is None:
        return "null"
    return dumps_text(list(children), name="children", max_depth=_MAX_DEPTH - 1) if children else "[]"


def write_group(group: Any, form: RecordForm = JSON_FORM) -> bytes:
    """Write the result tuple of a group as Celery keeps it: ``{"result": [[id, parent], [member, ...]]}``."""
    return pack(dump({"result": group}, form, max_depth=_MAX_DEPTH), form)


def read_group(record: bytes, form: RecordForm = JSON_FORM) -> Any:
    """Read the result tuple of a group.

    Raises:
        DecodeError: it is no map with a ``result``.
    """
    fields = load(unpack(record, form), form, max_depth=_MAX_DEPTH)
    if not isinstance(fields, dict) or "result" not in fields:
        raise DecodeError("the record of a group is not a map with a result")
    return fields["result"]


class Record(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """Read what a run came to.

    Attributes:
        children: result tuples, or None when unknown.
        name: this and what follows only of extended records.
        more: what else there was, such as one key per stamp.
    """

    status: str
    result: Any = None
    traceback: str | None = None
    children: list[Any] | None = None
    date_done: str | None = None
    group_id: str | None = None
    parent_id: str | None = None
    task_id: str | None = None
    name: str | None = None
    args: Any = None
    kwargs: Any = None
    worker: str | None = None
    retries: int | None = None
    queue: str | None = None
    stamped_headers: list[str] | None = None
    more: dict[str, Any] = {}


_decode_record: Final = msgspec.json.Decoder(Record).decode
_RECORD_FIELDS: Final = frozenset(Record.__struct_fields__) - {"more"}
_ANY_VALUE: Final = frozenset({"result", "args", "kwargs"})


def read_record(record: bytes, form: RecordForm = JSON_FORM) -> Record:
    """Read a record of any writer: Celery 5.3 to 5.7, celery-node, ourselves.

    Args:
        form: which serializers are read; what writes here does not matter.

    Raises:
        DecodeError: it is no map with a `status`, or cannot be decompressed here.
        ContentDisallowed: its serializer is not accepted; the text names the setting.
    """
    is_plain = not may_have_tags(record) and b'"more"' not in record and not form.has_code_of_users
    if is_plain and not is_text_deeper(record, _MAX_DEPTH):
        try:
            return _decode_record(record)
        except UNREADABLE:
            pass  # of another form, a foreign or a broken one: the slow way tells
    return _read_foreign_record(load(unpack(record, form), form, max_depth=_MAX_DEPTH))


def _read_foreign_record(fields: Any) -> Record:
    if not isinstance(fields, dict) or not isinstance(fields.get("status"), str):
        raise DecodeError("a result record is not a map with a status")
    known = {name: fields.pop(name) for name in _RECORD_FIELDS & fields.keys()}
    kept = {name: value for name, value in known.items() if _is_well_typed(name, value)}
    return Record(**kept, more=fields)


def _is_well_typed(name: str, value: Any) -> bool:
    """Say whether a field is what it should be; celery-node has objects where text belongs."""
    if name in _ANY_VALUE or value is None:
        return True
    match name:
        case "children" | "stamped_headers":
            return isinstance(value, list)
        case "retries":
            return isinstance(value, int)
    return isinstance(value, str)


# Where other programs look for the classes that we have under the same names.
_FOREIGN_HOMES: Final = {
    "celery.exceptions": (
        "CeleryError",
        "ImproperlyConfigured",
        "SecurityError",
        "BackendError",
        "BackendGetMetaError",
        "BackendStoreError",
        "TaskError",
        "NotRegistered",
        "AlreadyRegistered",
        "QueueNotFound",
        "IncompleteStream",
        "InvalidTaskError",
        "ChordError",
        "TimeoutError",
        "MaxRetriesExceededError",
        "TaskRevokedError",
        "TaskPredicate",
        "Retry",
        "Ignore",
        "Reject",
        "CeleryWarning",
        "AlwaysEagerIgnored",
        "DuplicateNodenameWarning",
        "DuplicateTaskNameWarning",
        "FixupWarning",
        "NotConfigured",
        "SecurityWarning",
        "CDeprecationWarning",
        "CPendingDeprecationWarning",
    ),
    "kombu.exceptions": (
        "OperationalError",
        "SerializationError",
        "EncodeError",
        "DecodeError",
        "ContentDisallowed",
    ),
    "billiard.exceptions": ("WorkerLostError", "TimeLimitExceeded", "SoftTimeLimitExceeded", "Terminated"),
}
_FOREIGN_HOME: Final = {name: module for module, names in _FOREIGN_HOMES.items() for name in names}


def exception_map(exc: BaseException, form: RecordForm = JSON_FORM) -> dict[str, Any]:
    """Return an exception as the value that records carry, whatever their serializer.

    Arguments that the serializer cannot carry, or that would leave no room in a record, become their reprs. Our own
    classes that Celery has too are named as Celery's, so that its clients know them; a `RemoteError` stays what it
    stood for. Never raises.
    """
    if isinstance(exc, RemoteError):
        return _map_of(exc.exc_type, exc.exc_args, exc.exc_module, form)
    kind = type(exc)
    module = kind.__module__
    if module == exceptions.__name__:
        module = _FOREIGN_HOME.get(kind.__qualname__, module)
    # The descriptor and not the attribute, over which a class of users may have put a property that raises.
    args = BaseException.__dict__["args"].__get__(exc)
    if not args and kind.__module__ != exceptions.__name__:
        args = _text_instead_of_args(exc)
    return _map_of(kind.__qualname__, args, module, form)


def _text_instead_of_args(exc: BaseException) -> tuple[str, ...]:
    """Return what an exception without arguments says, if it can be made of a text; pydantic's are of this kind."""
    if type(type(exc).__init__) is not WrapperDescriptorType:
        return ()  # a constructor of users: it may take nothing
    try:
        text = str(exc)
    except Exception:  # noqa: BLE001 - `__str__` is code of users; without arguments and text there is still the class
        return ()
    return (text,) if text else ()


def _map_of(name: str, args: Sequence[Any], module: str | None, form: RecordForm) -> dict[str, Any]:
    room = form.most_bytes // 2
    said = []
    for arg in args:
        size = _carried_bytes(arg, form)
        said.append(bounded_repr(arg) if size is None or size > room else arg)
        room -= size if size is not None and size <= room else 0
    return {"exc_type": name, "exc_message": said, "exc_module": module}


def _carried_bytes(arg: Any, form: RecordForm) -> int | None:
    """Return the size of an argument in a record; None when it cannot be carried."""
    try:
        return len(form.serializer.dumps(arg, max_depth=_MAX_DEPTH - 3))  # a record puts three levels around it
    except EncodeError:
        return None


def exception_from_map(value: Any, *, traceback: str | None = None) -> Exception:
    """Make the exception that a record tells of.

    A class is used only when it is a builtin, ours, or was imported by this program before, and derives from
    `Exception`. Nothing is imported, and nothing else is ever called; in all other cases, also when the class refuses
    the arguments, the exception is a `RemoteError`. Of Celery's pickles the value is an exception already; then it was
    made when the record was read, which somebody had allowed.
    """
    if isinstance(value, Exception):
        return value
    if not isinstance(value, Mapping) or not isinstance(value.get("exc_type"), str):
        text = "the worker stored no exception" if value is None else bounded_repr(value)
        return RemoteError("Exception", "builtins", (text,), traceback)
    name, module = value["exc_type"], value.get("exc_module")
    module = module if isinstance(module, str) else None
    args = _args_of(value.get("exc_message"))
    kind = _find_class(name, module)
    built = None if kind is None else _build(kind, args)
    return RemoteError(name, module, args, traceback) if built is None else built


def _args_of(message: Any) -> tuple[Any, ...]:
    if message is None:
        return ()
    return tuple(message) if isinstance(message, list) else (message,)


def _find_class(name: str, module: str | None) -> type[Exception] | None:
    found: Any = vars(exceptions).get(name) if _FOREIGN_HOME.get(name) == module else None
    if found is None:
        found = sys.modules.get(module or "")
        for part in name.split("."):
            # By the dictionary, so that no module's own __getattr__ imports anything.
            found = vars(found).get(part) if isinstance(found, (ModuleType, type)) else None
    return found if isinstance(found, type) and issubclass(found, Exception) else None


def _build(kind: type[Exception], args: tuple[Any, ...]) -> Exception | None:
    try:
        built: object = kind(*args)
    except Exception:  # noqa: BLE001 - a constructor of users; the RemoteError says all there is to say
        return None
    return built if isinstance(built, kind) else None
