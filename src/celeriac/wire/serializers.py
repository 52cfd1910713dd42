"""Serializers by name and by content type: those that Celery has, and those that programs register.

A content type that is not accepted is refused before a byte of it is decoded (`Accept`). What decodes to plain data,
in C, is marked as `plain`: only that is decoded where no code of users may run.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final

import msgspec

from celeriac.exceptions import ContentDisallowed, DecodeError, EncodeError, ImproperlyConfigured
from celeriac.message import Message
from celeriac.wire import jsontypes, msgpacks, yamls
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.values import Faults

JSON_CONTENT: Final = "application/json"
PICKLE_CONTENT: Final = "application/x-python-serialize"

_MAX_DEPTH: Final = DEFAULT_LIMITS.max_depth
_CURE: Final = "flatten it, or raise message_max_depth"


class Serializer(msgspec.Struct, frozen=True, kw_only=True):
    """Know one way of writing values.

    Attributes:
        name: as options and settings call it.
        content_type: as messages call it.
        content_encoding: charset of what it writes, or ``binary``.
        dumps: writes a value; its arguments and errors are those of `jsontypes.dumps`.
        loads: reads one, as `jsontypes.loads`.
        plain: what is read is data, and no code of users runs to read it.
        ready: raises ImportError when a library is missing; the text names the extra.
    """

    name: str
    content_type: str
    content_encoding: str
    dumps: Callable[..., bytes]
    loads: Callable[..., Any]
    plain: bool = False
    ready: Callable[[], object] = lambda: None


def _pickle_dumps(value: Any) -> bytes:
    return pickle.dumps(value, protocol=_PICKLE_PROTOCOL)


_PICKLE_PROTOCOL: Final = int(os.environ.get("PICKLE_PROTOCOL", "4"))


def _raw_dumps(value: Any, *, name: str = "value", max_depth: int = _MAX_DEPTH) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise EncodeError(f"{name} is a {type(value).__qualname__}; raw carries bytes and text, as they are")


def _raw_loads(data: bytes, *, max_depth: int = _MAX_DEPTH, name: str = "") -> bytes:
    return data


def _encoder(name: str, encode: Callable[[Any], bytes | str], content_encoding: str) -> Callable[..., bytes]:
    """Give an encoder of bare values what `Serializer.dumps` promises."""
    charset = "utf-8" if content_encoding == "binary" else content_encoding
    faults = Faults(name, encode, keys=(object,), key_words="")

    def dumps(value: Any, *, name: str = "value", max_depth: int = _MAX_DEPTH) -> bytes:
        try:
            data = encode(value)
        except Exception as exc:  # code of users, of `__reduce__` at least, raises what it likes
            faults.refuse(value, name, max_depth=max_depth, cure=_CURE)
            raise EncodeError(f"{name} cannot be written as {serializer}: {exc}") from exc
        return data.encode(charset) if isinstance(data, str) else bytes(data)

    serializer = name
    return dumps


def _decoder(name: str, decode: Callable[[bytes], Any]) -> Callable[..., Any]:
    """Give a decoder of bare values what `Serializer.loads` promises."""
    serializer = name

    def loads(data: bytes, *, max_depth: int = _MAX_DEPTH, name: str = "") -> Any:
        try:
            return decode(data)
        except Exception as exc:  # likewise
            raise DecodeError(
                f"{name + ': ' if name else ''}{len(data)} bytes cannot be read as {serializer}: "
                f"{type(exc).__name__}: {exc}"
            ) from exc

    return loads


JSON: Final = Serializer(
    name="json",
    content_type=JSON_CONTENT,
    content_encoding="utf-8",
    dumps=jsontypes.dumps,
    loads=jsontypes.loads,
    plain=True,
)
MSGPACK: Final = Serializer(
    name="msgpack",
    content_type="application/x-msgpack",
    content_encoding="binary",
    dumps=msgpacks.dumps,
    loads=msgpacks.loads,
    plain=True,
)
YAML: Final = Serializer(
    name="yaml",
    content_type="application/x-yaml",
    content_encoding="utf-8",
    dumps=yamls.dumps,
    loads=yamls.loads,
    ready=yamls.library,
)
PICKLE: Final = Serializer(
    name="pickle",
    content_type=PICKLE_CONTENT,
    content_encoding="binary",
    dumps=_encoder("pickle", _pickle_dumps, "binary"),
    loads=_decoder("pickle", pickle.loads),
)
RAW: Final = Serializer(
    name="raw",
    content_type="application/data",
    content_encoding="binary",
    dumps=_raw_dumps,
    loads=_raw_loads,
    plain=True,
)

BUILT_IN: Final = (JSON, MSGPACK, YAML, PICKLE, RAW)

_by_name: Final[dict[str, Serializer]] = {serializer.name: serializer for serializer in BUILT_IN}
_by_type: Final[dict[str, Serializer]] = {serializer.content_type: serializer for serializer in BUILT_IN}


def register(
    name: str,
    encoder: Callable[[Any], bytes | str] | None,
    decoder: Callable[[bytes], Any] | None,
    content_type: str,
    content_encoding: str = "utf-8",
) -> None:
    """Add a serializer, or replace the one of that name, as kombu's function of this name does.

    Whoever writes and whoever reads must have made the same call, and the reader must accept it (`accept_content`).

    Args:
        name: for options and settings.
        encoder: writes a value; None: it cannot be written here.
        decoder: reads what `encoder` wrote; None: it cannot be read here.
        content_type: for messages.
        content_encoding: charset of what is written, or ``binary``.

    Raises:
        ValueError: the name or the content type is of a serializer that celeriac brings, and that was not
            unregistered before.
    """
    taken = next((one for one in (_by_name.get(name), _by_type.get(content_type)) if one in BUILT_IN), None)
    if taken is not None:
        raise ValueError(
            f"{taken.name!r} ({taken.content_type}) is a serializer of celeriac; give yours another name and content "
            "type, or teach JSON a type with celeriac.wire.jsontypes.register_type"
        )
    if name in _by_name:
        unregister(name)
    _by_name[name] = _by_type[content_type] = Serializer(
        name=name,
        content_type=content_type,
        content_encoding=content_encoding,
        dumps=_encoder(name, encoder or _no_encoder, content_encoding),
        loads=_decoder(name, decoder or _no_decoder),
    )


def _no_encoder(value: Any) -> bytes:
    raise LookupError("it was registered without an encoder")


def _no_decoder(data: bytes) -> Any:
    raise LookupError("it was registered without a decoder")


def _taken_from_kombu(key: str) -> Serializer | None:
    """Register what a program has registered with kombu itself, where that is installed and imported.

    Args:
        key: a name or a content type.
    """
    kombu: Any = sys.modules.get("kombu.serialization")
    registry = getattr(kombu, "registry", None)  # what celeriac has by this name where kombu is not has none
    if registry is None or not isinstance(key, str):
        return None
    name = key if key in registry.name_to_type else registry.type_to_name.get(key)
    if name is None or name in _by_name:
        return None
    content_type = registry.name_to_type[name]
    encoding = getattr(getattr(registry, "_encoders", {}).get(name), "content_encoding", "utf-8")
    register(
        name,
        lambda value: kombu.dumps(value, serializer=name)[2],
        lambda data: kombu.loads(data, content_type, encoding, force=True),
        content_type,
        encoding,
    )
    return _by_name[name]


def unregister(name: str) -> None:
    """Forget a serializer.

    Raises:
        LookupError: there is none of that name.
        ValueError: it is JSON.
    """
    if name == JSON.name:
        raise ValueError("JSON cannot be unregistered; accept_content says what is decoded")
    gone = _by_name.pop(name, None)
    if gone is None:
        raise LookupError(f"there is no serializer {name!r}; there are {', '.join(_by_name)}")
    if _by_type.get(gone.content_type) is gone:
        del _by_type[gone.content_type]


def names() -> tuple[str, ...]:
    """Return the names of all serializers that there are now."""
    return tuple(_by_name)


def serializer_named(name: str) -> Serializer:
    """Return a serializer by its name, or by its content type.

    Raises:
        LookupError: there is none.
    """
    found = _by_name.get(name) or _by_type.get(name) or _taken_from_kombu(name)
    if found is None:
        raise LookupError(f"there is no serializer {name!r}; there are {', '.join(_by_name)}")
    return found


def writer_named(name: str) -> Serializer:
    """Return a serializer to write with.

    Raises:
        EncodeError: there is none of that name.
    """
    try:
        return serializer_named(name)
    except LookupError as exc:
        raise EncodeError(f"{exc}; celeriac.wire.serializers.register adds others") from None


def reader_of(content_type: str) -> Serializer:
    """Return a serializer to read with.

    Raises:
        DecodeError: nothing here reads that type.
    """
    found = _by_type.get(content_type) or _taken_from_kombu(content_type)
    if found is None:
        raise DecodeError(f"no serializer here reads {content_type!r}; celeriac.wire.serializers.register adds one")
    return found


class Accept(msgspec.Struct, frozen=True):
    """Say what may be decoded.

    Attributes:
        names: as settings name it, for errors.
        content_types: what that comes to.
        pickle_queues: queues whose messages may be pickles, if those are accepted at all.
    """

    names: tuple[str, ...]
    content_types: frozenset[str]
    pickle_queues: frozenset[str] = frozenset()

    @classmethod
    def of(cls, names: Iterable[str], *, pickle_queues: Collection[str] = ()) -> Accept:
        """Accept serializers by their names or content types.

        Raises:
            ImproperlyConfigured: there is none of a name, or it needs a library that is not installed.
        """
        names = tuple(names)
        return cls(names, frozenset(map(_content_type, names)), frozenset(pickle_queues))

    def check(self, message: Message) -> None:
        """Refuse a message that may not be decoded.

        Raises:
            ContentDisallowed: its content type is not accepted, or not from its queue.
        """
        if message.content_type not in self.content_types:
            raise ContentDisallowed(
                f"body of message {message.task_id} is {message.content_type!r}, not in accept_content "
                f"{list(self.names)}"
            )
        if message.content_type == PICKLE_CONTENT and message.queue not in self.pickle_queues:
            raise ContentDisallowed(
                f"body of message {message.task_id} is a pickle, and its queue {message.queue!r} is not in "
                f"accept_pickle_from {sorted(self.pickle_queues)}; whoever can publish to a queue that is listed "
                "there can run any code in its workers"
            )


def _content_type(name: str) -> str:
    try:
        serializer = serializer_named(name)
        serializer.ready()
    except LookupError as exc:
        raise ImproperlyConfigured(
            f"accept_content names {name!r}: {exc}; register it before the app is used"
        ) from None
    except ImportError as exc:
        raise ImproperlyConfigured(f"accept_content names {name!r}: {exc}") from exc
    return serializer.content_type


ACCEPT_JSON: Final = Accept.of(("json",))
