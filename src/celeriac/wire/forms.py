"""The form in which records of results are kept: serializer and compression, and which forms are read.

A record does not say what it is. It can be told from its first bytes, so a reader that is configured otherwise, in
the middle of a change of settings or by mistake, reads what it accepts and names what it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from celeriac.exceptions import ContentDisallowed, DecodeError, EncodeError, ImproperlyConfigured, MessageTooLarge
from celeriac.wire import compression as compressions
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.serializers import BUILT_IN, JSON, MSGPACK, PICKLE, RAW, YAML, Serializer, serializer_named

RECORD_MAX_BYTES: Final = 256 * 1024 * 1024
"""Largest record unless a setting says otherwise. Supervisor and store have each record in memory as a whole."""

_MARKER: Final = b"\0celery-compressed\0"


class RecordForm(msgspec.Struct, frozen=True, kw_only=True):
    """Say how records are written, and which are read.

    Attributes:
        serializer: what writes them.
        compression: name of what compresses them, or None. Compressed records are always read.
        accept: names of the serializers whose records are read. Those of JSON always are.
        max_bytes: largest record that is compressed, and largest that is decompressed.
        record_max_bytes: largest record that is written at all, before it is compressed.
    """

    serializer: Serializer = JSON
    compression: str | None = None
    accept: frozenset[str] = frozenset({JSON.name})
    max_bytes: int = DEFAULT_LIMITS.max_bytes
    record_max_bytes: int = RECORD_MAX_BYTES

    @classmethod
    def of(
        cls,
        *,
        serializer: str,
        compression: str | None,
        accept: Sequence[str] | None,
        accept_content: Sequence[str],
        max_bytes: int,
        record_max_bytes: int = RECORD_MAX_BYTES,
    ) -> RecordForm:
        """Make a form of settings: `result_serializer`, `result_compression`, `result_accept_content` and others.

        What is written is read too. Pickles are only read where `result_accept_content` itself names them, and
        written only where they are read.

        Raises:
            ImproperlyConfigured: there is no such serializer or compression, its library is not installed, or pickles
                are to be written and not read.
        """
        writer = _named(serializer, "result_serializer")
        if accept is None:
            accepted = {_named(name, "accept_content").name for name in accept_content} - {PICKLE.name}
        else:
            accepted = {_named(name, "result_accept_content").name for name in accept}
        if writer is PICKLE and PICKLE.name not in accepted:
            raise ImproperlyConfigured(
                "result_serializer is 'pickle', and reading a pickle can run any code; if everybody who can write "
                "results may do so, add 'pickle' to result_accept_content"
            )
        if compression is not None and not compressions.is_known(compression):
            raise ImproperlyConfigured(
                f"result_compression must be one of {', '.join(compressions.names())}, got {compression!r}"
            )
        return cls(
            serializer=writer,
            compression=compression,
            accept=frozenset(accepted | {writer.name, JSON.name}),
            max_bytes=max_bytes,
            record_max_bytes=record_max_bytes,
        )

    @property
    def has_code_of_users(self) -> bool:
        """Whether code of users writes and reads records, which may look like JSON and be more."""
        return self.serializer is not JSON and self.serializer not in BUILT_IN

    @property
    def most_bytes(self) -> int:
        """Bytes that a record may have before it is compressed."""
        return self.record_max_bytes if self.compression is None else min(self.max_bytes, self.record_max_bytes)

    def without_code_of_users(self) -> RecordForm:
        """Return the form for processes in which no code of users may run: theirs become JSON, not compressed."""
        if self.has_code_of_users:
            return msgspec.structs.replace(self, serializer=JSON, compression=None)
        if self.compression is not None and not compressions.is_built_in(self.compression):
            return msgspec.structs.replace(self, compression=None)
        return self


def _named(name: str, setting: str) -> Serializer:
    try:
        found = serializer_named(name)
        found.ready()
    except (LookupError, ImportError) as exc:
        raise ImproperlyConfigured(f"{setting} names {name!r}: {exc}") from exc
    if found is RAW and setting == "result_serializer":
        raise ImproperlyConfigured("result_serializer is 'raw', which writes bytes and text and no records")
    return found


JSON_FORM: Final = RecordForm()


def pack(data: bytes, form: RecordForm) -> bytes:
    """Compress a record, as Celery 5.7 does, when the form says so.

    Raises:
        EncodeError: that compression cannot be had here.
        MessageTooLarge: it is larger than records may be, or no reader would decompress it.
    """
    if len(data) > form.record_max_bytes:
        raise MessageTooLarge(
            f"a record of {len(data)} bytes is over the limit of {form.record_max_bytes}; "
            "return a reference to the data, or raise result_max_bytes"
        )
    if form.compression is None:
        return data
    if len(data) > form.max_bytes:
        raise MessageTooLarge(
            f"a record of {len(data)} bytes is over the limit of {form.max_bytes} for those that are compressed; "
            "return a reference to the data, or raise message_max_bytes"
        )
    packed, content_type = compressions.compress(data, form.compression)
    return _MARKER + content_type.encode() + b"\0" + packed


def unpack(record: bytes, form: RecordForm) -> bytes:
    """Undo what `pack` did, whatever the form says of writing.

    Raises:
        DecodeError: it cannot be decompressed here, or only into too many bytes.
    """
    if not record.startswith(_MARKER):
        return record
    content_type, _, packed = record[len(_MARKER) :].partition(b"\0")
    return compressions.decompress(packed, content_type.decode("ascii", "replace"), max_bytes=form.max_bytes)


def load(data: bytes, form: RecordForm, *, max_depth: int) -> Any:
    """Read what a record says, if the form accepts what it was written with.

    Raises:
        ContentDisallowed: it does not; the text names the setting.
        DecodeError: it is no record, or broken.
    """
    if form.has_code_of_users:
        try:
            return form.serializer.loads(data, max_depth=max_depth)
        except DecodeError:
            pass  # written by the supervisor, or before the setting was changed
    serializer = _writer_of(data)
    if serializer.name not in form.accept:
        raise ContentDisallowed(
            f"a result is kept as {serializer.name}, which is not read here (result_accept_content "
            f"{sorted(form.accept)}); add {serializer.name!r} there"
        )
    return serializer.loads(data, max_depth=max_depth, name="a result record")


def _writer_of(data: bytes) -> Serializer:
    """Tell from the first bytes of a record what has written it: it is a map with text for keys."""
    first = data[:1]
    if b"\x80\x02" <= data[:2] <= b"\x80\x05":
        return PICKLE
    if b"\x81" <= first <= b"\x8f" or first in (b"\xde", b"\xdf"):
        return MSGPACK
    return YAML if data.startswith(b"status: ") or b"\nstatus: " in data else JSON


def dump(fields: dict[str, Any], form: RecordForm, *, max_depth: int) -> bytes:
    """Write what a record says with a serializer that is not JSON.

    Raises:
        EncodeError: a part of the result cannot be written; the text says which.
    """
    try:
        return form.serializer.dumps(fields, name="record", max_depth=max_depth)
    except EncodeError:
        form.serializer.dumps(fields["result"], name="result", max_depth=max_depth - 1)
        raise  # the result alone can be written
