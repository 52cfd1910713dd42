"""Kinds of values that name serializers and compressions."""

from __future__ import annotations

from typing import Final

from celeriac.app.kinds import Kind, one_of, some_of

SERIALIZERS: Final = ("json", "msgpack", "yaml", "pickle")

_CONTENT_TYPES: Final = (
    "application/json",
    "application/x-msgpack",
    "application/x-yaml",
    "application/x-python-serialize",
)

SERIALIZER: Final[Kind[str]] = one_of(*SERIALIZERS)

CONTENTS: Final[Kind[tuple[str, ...]]] = some_of(*SERIALIZERS, *_CONTENT_TYPES)

COMPRESSION: Final[Kind[str]] = one_of("gzip", "zlib", "bzip2", "bz2", "lzma", "xz", "zstd", "zstandard", "brotli")
