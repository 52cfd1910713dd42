"""The body of a task message: its arguments, and what follows the run."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
from copy import copy
from typing import Any, Final

import msgspec

from celeriac.exceptions import DecodeError, EncodeError
from celeriac.wire.depth import is_text_deeper
from celeriac.wire.jsontypes import UNREADABLE, convert, dumps_text, loads, may_have_tags
from celeriac.wire.serializers import Serializer
from celeriac.wire.steps import Steps


class Embed(msgspec.Struct, gc=False):
    """Hold what follows a run, as serialized signatures.

    Attributes:
        callbacks: after success.
        errbacks: after failure.
        chain: the remaining steps, the next one last; `Steps` of JSON that was read.
        chord: the body of the chord that the run is a member of.
    """

    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    chain: MutableSequence[Any] | None = None
    chord: dict[str, Any] | None = None


class Body(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """Hold a body of protocol 2: an array of exactly these."""

    args: list[Any]
    kwargs: dict[str, Any]
    embed: Embed | None


class MapBody(Embed, gc=False):
    """Hold what in a body of protocol 1 is not told by headers in protocol 2."""

    args: list[Any] = []
    kwargs: dict[str, Any] = {}


NO_EMBED: Final = Embed()
_NO_EMBED_TEXT: Final = '{"callbacks": null, "errbacks": null, "chain": null, "chord": null}'

_CHAIN: Final = b'"chain": [{'

_WORTH_REMEMBERING: Final = 4096
"""Bytes of steps that take longer to read than to compare."""


class _Carrying(msgspec.Struct, gc=False):
    callbacks: list[Any] | None = None
    errbacks: list[Any] | None = None
    chain: list[msgspec.Raw] | None = None
    chord: dict[str, Any] | None = None


class _CarryingBody(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    args: list[Any]
    kwargs: dict[str, Any]
    embed: _Carrying


_decode_body: Final = msgspec.json.Decoder(Body).decode
_decode_carrying: Final = msgspec.json.Decoder(_CarryingBody).decode


def write_body(args: Sequence[Any], kwargs: Mapping[str, Any], embed: Embed, *, max_depth: int) -> bytes:
    """Write a body of protocol 2, byte for byte as Celery does.

    Raises:
        EncodeError: an argument cannot be written; the text names it, as in ``args[1]`` or ``kwargs['x']``.
        MessageTooLarge: it is nested too deep.
    """
    inner_depth = max_depth - 1
    args_text = dumps_text(args if isinstance(args, (list, tuple)) else list(args), name="args", max_depth=inner_depth)
    kwargs_text = dumps_text(dict(kwargs), name="kwargs", max_depth=inner_depth) if kwargs else "{}"
    embed_text = _NO_EMBED_TEXT
    if embed is not NO_EMBED:
        if isinstance(embed.chain, Steps):
            return _write_carrying(f"[{args_text}, {kwargs_text}, ", embed, embed.chain, max_depth=inner_depth)
        embed_text = dumps_text(msgspec.structs.asdict(embed), name="embed", max_depth=inner_depth)
    return f"[{args_text}, {kwargs_text}, {embed_text}]".encode()


def _write_carrying(begin: str, embed: Embed, steps: Steps, *, max_depth: int) -> bytes:
    """Write a body of which the steps are copied once, whatever they weigh."""
    texts = {
        name: dumps_text(getattr(embed, name), name=f"embed['{name}']", max_depth=max_depth - 1)
        for name in ("callbacks", "errbacks", "chord")
    }
    pieces = steps.as_json(name="embed['chain']", max_depth=max_depth - 2)
    before = f'{begin}{{"callbacks": {texts["callbacks"]}, "errbacks": {texts["errbacks"]}, "chain": '.encode()
    behind = f', "chord": {texts["chord"]}}}]'.encode()
    body = b"".join((before, *pieces, behind))
    _last.note(body, steps, len(before), len(body) - len(behind))
    return body


class _Last:
    """Remember the body with steps that this process wrote last.

    Nearly always it is the next one that it reads, where one node runs the whole of a chain. Then the steps, which are
    all but some hundred bytes of it, are known.
    """

    def __init__(self) -> None:
        self._written: tuple[bytes, Steps, int, int] | None = None

    def note(self, body: bytes, steps: Steps, begin: int, end: int) -> None:
        """Remember a body whose steps lie between two places of it, if they are worth it."""
        if end - begin >= _WORTH_REMEMBERING and steps.are_untouched:
            self._written = body, copy(steps), begin, end

    def read(self, data: bytes, max_depth: int) -> Body | None:
        """Read a body if it is that one."""
        written = self._written
        if written is None or written[0] != data:
            return None
        _, steps, begin, end = written
        others = b"%b[]%b" % (data[:begin], data[end:])
        if may_have_tags(others) or is_text_deeper(others, max_depth):
            return None
        body = _decode_body(others)
        if body.embed is not None:
            body.embed.chain = copy(steps)
        return body


_last: Final = _Last()


def read_body(data: bytes, *, max_depth: int) -> Body | dict[str, Any]:
    """Read a body of protocol 2, or the object that one of protocol 1 is.

    Raises:
        DecodeError: it is neither.
    """
    if len(data) > _WORTH_REMEMBERING:
        try:
            body = _last.read(data, max_depth)
        except UNREADABLE:
            body = None
        if body is not None:
            return body
    if not may_have_tags(data) and not is_text_deeper(data, max_depth):
        try:
            # Raw parts are not looked at: bytes that are no UTF-8 would be found by who reads the step.
            return _read_carrying(data) if _CHAIN in data and data.isascii() else _decode_body(data)
        except UNREADABLE:
            pass  # wrong, or only unusual: the slow way tells
    return _body_of(loads(data, max_depth=max_depth, name="body"))


def _read_carrying(data: bytes) -> Body:
    body = _decode_carrying(data)
    embed = body.embed
    chain = None if embed.chain is None else Steps(embed.chain)
    return Body(body.args, body.kwargs, Embed(embed.callbacks, embed.errbacks, chain, embed.chord))


def write_body_with(
    serializer: Serializer, args: Sequence[Any], kwargs: Mapping[str, Any], embed: Embed, *, max_depth: int
) -> bytes:
    """Write a body of protocol 2 with any serializer.

    Raises:
        EncodeError: as `write_body`.
    """
    args = args if isinstance(args, (list, tuple)) else list(args)
    carried = msgspec.structs.asdict(embed)
    if isinstance(embed.chain, Steps):
        carried["chain"] = list(embed.chain)
    parts = (args, dict(kwargs), carried)
    try:
        return serializer.dumps(parts, name="body", max_depth=max_depth)
    except EncodeError:
        for name, part in zip(("args", "kwargs", "embed"), parts, strict=True):
            serializer.dumps(part, name=name, max_depth=max_depth - 1)
        raise  # none of them is it alone


def read_body_with(serializer: Serializer, data: bytes, *, max_depth: int) -> Body | dict[str, Any]:
    """Read with any serializer what `read_body` reads."""
    return _body_of(serializer.loads(data, max_depth=max_depth, name="body"))


def _body_of(value: Any) -> Body | dict[str, Any]:
    if isinstance(value, dict):
        return value
    if not isinstance(value, (list, tuple)) or len(value) != 3:
        raise DecodeError("the body is not an array of args, kwargs and embed")
    args, kwargs, embed = value
    found = [[] if args is None else args, {} if kwargs is None else kwargs, embed]
    return convert(found, Body, name="the body is not an array of args, kwargs and embed")


def convert_map_body(fields: Mapping[str, Any]) -> MapBody:
    """Check what of an object of protocol 1 is the body's."""
    present = {name: value for name, value in fields.items() if value is not None}
    return convert(present, MapBody, name="the body is not of protocol 1")
