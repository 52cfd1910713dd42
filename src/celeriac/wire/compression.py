"""Compression of bodies and results, by kombu's names and content types.

What is decompressed is bounded while it is being decompressed: a few kilobytes that would become gigabytes are
refused when they have become one byte more than is allowed, and no decoder is given more memory than that needs.
"""

from __future__ import annotations

import bz2
import lzma
import sys
import zlib
from collections.abc import Callable, Sequence
from importlib import import_module
from types import ModuleType
from typing import Final, Protocol

import msgspec

from celeriac.exceptions import DecodeError, EncodeError
from celeriac.wire.reprs import bounded_repr

_BROTLI_QUALITY: Final = 5  # its default of 11 takes 21.7 ms for 25 KB
_XZ_MEMORY: Final = 80 * 1024 * 1024  # preset 9, the largest, needs 65 MiB to be read
_ZSTD_WINDOW_LOG: Final = 23  # 8 MiB, which every reader of zstd should take


class Compression(msgspec.Struct, frozen=True, kw_only=True):
    """Know one way of compressing bytes.

    Attributes:
        content_type: as messages call it.
        compress: from bytes to fewer.
        decompress: back; the second argument is the most bytes that may come of it. Raises what it likes, or returns
            more bytes than that, about what cannot be decompressed.
    """

    content_type: str
    compress: Callable[[bytes], bytes]
    decompress: Callable[[bytes, int], bytes]


class _Decompressor(Protocol):
    """Do what those of bz2, lzma and zstd do."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _in_one_go(decompressor: _Decompressor, data: bytes, most: int) -> bytes:
    found = decompressor.decompress(data, most + 1)
    if len(found) <= most and (not decompressor.eof or decompressor.unused_data):
        raise ValueError("the data are cut off" if not decompressor.eof else "there is more behind their end")
    return found


def _unzlib(data: bytes, most: int) -> bytes:
    return _in_one_go(zlib.decompressobj(), data, most)


def _unbzip2(data: bytes, most: int) -> bytes:
    return _in_one_go(bz2.BZ2Decompressor(), data, most)


def _unxz(data: bytes, most: int) -> bytes:
    return _in_one_go(lzma.LZMADecompressor(memlimit=_XZ_MEMORY), data, most)


def _zstd() -> ModuleType:
    try:
        return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
    except ImportError as exc:
        raise ImportError('zstd needs backports.zstd: pip install "celeriac[zstd]"') from exc


def _compress_zstd(data: bytes) -> bytes:
    found: bytes = _zstd().compress(data)
    return found


def _unzstd(data: bytes, most: int) -> bytes:
    zstd = _zstd()
    lowest, highest = zstd.DecompressionParameter.window_log_max.bounds()
    window_log = min(max(_ZSTD_WINDOW_LOG, most.bit_length(), lowest), highest)
    options = {zstd.DecompressionParameter.window_log_max: window_log}
    return _in_one_go(zstd.ZstdDecompressor(options=options), data, most)


def _brotli() -> ModuleType:
    try:
        return import_module("brotli")
    except ImportError as exc:
        raise ImportError('brotli needs a library: pip install "celeriac[brotli]"') from exc


def _compress_brotli(data: bytes) -> bytes:
    found: bytes = _brotli().compress(data, quality=_BROTLI_QUALITY)
    return found


def _unbrotli(data: bytes, most: int) -> bytes:
    decompressor = _brotli().Decompressor()
    found: bytes = decompressor.process(data, output_buffer_limit=most + 1)
    while len(found) <= most and not decompressor.is_finished():
        more = decompressor.process(b"", output_buffer_limit=most + 1 - len(found))
        if not more:
            raise ValueError("the data are cut off")
        found += more
    return found


_BUILT_IN: Final = (
    (Compression(content_type="application/x-gzip", compress=zlib.compress, decompress=_unzlib), ("gzip", "zlib")),
    (Compression(content_type="application/x-bz2", compress=bz2.compress, decompress=_unbzip2), ("bzip2", "bzip")),
    (Compression(content_type="application/x-lzma", compress=lzma.compress, decompress=_unxz), ("lzma", "xz")),
    (
        Compression(content_type="application/zstd", compress=_compress_zstd, decompress=_unzstd),
        ("zstd", "zstandard"),
    ),
    (
        Compression(content_type="application/x-brotli", compress=_compress_brotli, decompress=_unbrotli),
        ("brotli",),
    ),
)

_by_name: Final[dict[str, Compression]] = {
    name: compression for compression, aliases in _BUILT_IN for name in (*aliases, compression.content_type)
}


def register(
    encoder: Callable[[bytes], bytes],
    decoder: Callable[[bytes], bytes],
    content_type: str,
    aliases: Sequence[str] = (),
) -> None:
    """Add a way of compressing, as kombu's function of this name does.

    Whoever writes and whoever reads must have made the same call. What the decoder returns may be at most
    `message_max_bytes` long; it has to care for its own memory.
    """
    made = Compression(content_type=content_type, compress=encoder, decompress=lambda data, most: decoder(data))
    _by_name.update(dict.fromkeys((*aliases, content_type), made))


def names() -> tuple[str, ...]:
    """Return the names of all compressions that there are now."""
    return tuple(name for name in _by_name if "/" not in name)


def is_known(name: str) -> bool:
    """Say whether there is such a compression, by name or content type."""
    return name in _by_name


def is_built_in(name: str) -> bool:
    """Say whether a compression is one that celeriac brings."""
    found = _by_name.get(name)
    return any(found is compression for compression, _ in _BUILT_IN)


def compress(data: bytes, name: str) -> tuple[bytes, str]:
    """Compress bytes; return them and the content type that tells their reader how.

    Args:
        name: or content type.

    Raises:
        EncodeError: there is no such compression, or it needs a library that is not installed.
    """
    found = _by_name.get(name)
    if found is None:
        raise EncodeError(f"there is no compression {bounded_repr(name, limit=80)}; there are {', '.join(names())}")
    try:
        return found.compress(data), found.content_type
    except ImportError as exc:
        raise EncodeError(str(exc)) from exc


def decompress(data: bytes, name: object, *, max_bytes: int) -> bytes:
    """Decompress bytes into at most `max_bytes`.

    Args:
        name: content type or name, as a message says it.

    Raises:
        DecodeError: there is no such compression here, its library is not installed, the bytes are not of it, or
            more than `max_bytes` would come of them.
    """
    found = _by_name.get(name) if isinstance(name, str) else None
    if found is None:
        raise DecodeError(f"there is no compression {bounded_repr(name, limit=80)}; there are {', '.join(names())}")
    try:
        whole = found.decompress(data, max_bytes)
    except ImportError as exc:
        raise DecodeError(str(exc)) from exc
    except Exception as exc:  # each library has errors of its own, and users' decoders too
        raise DecodeError(f"{len(data)} bytes cannot be decompressed as {found.content_type}: {exc}") from exc
    if len(whole) > max_bytes:
        raise DecodeError(
            f"{len(data)} compressed bytes are more than {max_bytes} when decompressed (message_max_bytes)"
        )
    return whole
