"""The body of a task message: its arguments, and what follows the run."""

from __future__ import annotations

from collections.abc import Mapping, MutableSequence, Sequence
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
        embed_text = _write_embed(embed, max_depth=inner_depth)
    return f"[{args_text}, {kwargs_text}, {embed_text}]".encode()


def _write_embed(embed: Embed, *, max_depth: int) -> str:
    if not isinstance(embed.chain, Steps):
        return dumps_text(msgspec.structs.asdict(embed), name="embed", max_depth=max_depth)
    texts = []
    for name, part in msgspec.structs.asdict(embed).items():
        if part is embed.chain:
            text = part.as_json(name="embed['chain']", max_depth=max_depth - 2)
        else:
            text = dumps_text(part, name=f"embed['{name}']", max_depth=max_depth - 1)
        texts.append(f'"{name}": {text}')
    return f"{{{', '.join(texts)}}}"


def read_body(data: bytes, *, max_depth: int) -> Body | dict[str, Any]:
    """Read a body of protocol 2, or the object that one of protocol 1 is.

    Raises:
        DecodeError: it is neither.
    """
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
