from __future__ import annotations

import bz2
import contextlib
import lzma
import os
import resource
import sys
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError, EncodeError
from celeriac.wire import compression
from celeriac.wire.compression import compress, decompress, names
from tests.unit.wire.strategies import damaged

TYPES = {
    "gzip": "application/x-gzip",
    "zlib": "application/x-gzip",
    "bzip2": "application/x-bz2",
    "bzip": "application/x-bz2",
    "lzma": "application/x-lzma",
    "xz": "application/x-lzma",
    "zstd": "application/zstd",
    "zstandard": "application/zstd",
    "brotli": "application/x-brotli",
}
KINDS = sorted(set(TYPES.values()))


@pytest.mark.parametrize(("name", "content_type"), TYPES.items())
def test_kombu_names_and_types_are_known(name: str, content_type: str) -> None:
    packed, told = compress(b"x" * 1000, name)

    assert told == content_type
    assert len(packed) < 100
    assert decompress(packed, name, max_bytes=1000) == decompress(packed, told, max_bytes=1000) == b"x" * 1000


@given(data=st.binary(max_size=2000), kind=st.sampled_from(KINDS), spare=st.integers(0, 3))
def test_what_fits_comes_back(data: bytes, kind: str, spare: int) -> None:
    packed, _ = compress(data, kind)

    assert decompress(packed, kind, max_bytes=len(data) + spare) == data


@given(data=st.binary(min_size=1, max_size=2000), kind=st.sampled_from(KINDS), less=st.integers(1, 2000))
def test_what_does_not_fit_is_refused(data: bytes, kind: str, less: int) -> None:
    packed, _ = compress(data, kind)
    most = max(0, len(data) - less)

    with pytest.raises(DecodeError, match=rf"more than {most} when decompressed \(message_max_bytes\)"):
        decompress(packed, kind, max_bytes=most)


@given(data=st.data(), kind=st.sampled_from(KINDS))
@example(data=None, kind="application/x-gzip")
def test_any_bytes_are_decompressed_or_refused(data: st.DataObject | None, kind: str) -> None:
    good, _ = compress(b"some text, some text", kind)
    strange = b"" if data is None else data.draw(st.binary() | damaged(good))
    with contextlib.suppress(DecodeError):
        decompress(strange, kind, max_bytes=1000)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_cut_off_is_refused(kind: str) -> None:
    packed, _ = compress(os.urandom(1000), kind)

    with pytest.raises(DecodeError, match=f"cannot be decompressed as {kind}"):
        decompress(packed[:-5], kind, max_bytes=10_000)


BIG = 96 * 1024 * 1024
CHUNK = bytes(1024 * 1024)


def _streamed(compressor: Any) -> bytes:
    parts = [compressor.compress(CHUNK) for _ in range(BIG // len(CHUNK))]
    return b"".join([*parts, compressor.flush()])


def _brotli_bomb() -> bytes:
    compressor = compression._brotli().Compressor(quality=1)
    parts = [compressor.process(CHUNK) for _ in range(BIG // len(CHUNK))]
    return b"".join([*parts, compressor.finish()])


BOMBS = {
    "gzip": lambda: _streamed(zlib.compressobj()),
    "bzip2": lambda: _streamed(bz2.BZ2Compressor()),
    "lzma": lambda: _streamed(lzma.LZMACompressor(preset=0)),
    "zstd": lambda: _streamed(compression._zstd().ZstdCompressor()),
    "brotli": _brotli_bomb,
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_in_little_memory(name: str) -> None:
    bomb = BOMBS[name]()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(DecodeError, match="more than 1048576 when decompressed"):
        decompress(bomb, name, max_bytes=1024 * 1024)

    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert len(bomb) < BIG / 500
    assert grown_kib < 40 * 1024


def test_a_dictionary_larger_than_any_preset_needs_is_refused() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 256 * 1024 * 1024}]
    packed = lzma.compress(b"x", format=lzma.FORMAT_XZ, filters=filters)

    with pytest.raises(DecodeError, match="Memory usage limit exceeded"):
        decompress(packed, "lzma", max_bytes=1000)


def test_a_window_larger_than_what_may_come_of_it_is_refused() -> None:
    zstd = compression._zstd()
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 27})
    packed = compressor.compress(b"x") + compressor.flush()

    with pytest.raises(DecodeError, match="application/zstd"):
        decompress(packed, "zstd", max_bytes=1000)


@pytest.mark.parametrize("name", ["none", None, 5, ["gzip"]])
def test_an_unknown_compression_is_named_with_those_there_are(name: Any) -> None:
    with pytest.raises(DecodeError, match=r"there is no compression .*; there are gzip, zlib, bzip2"):
        decompress(b"", name, max_bytes=1)


def test_an_unknown_compression_is_refused_when_it_is_asked_for() -> None:
    with pytest.raises(EncodeError, match="there is no compression 'gzp'; there are gzip, zlib"):
        compress(b"", "gzp")


@pytest.mark.parametrize(("name", "module"), [("zstd", "backports.zstd"), ("brotli", "brotli")])
def test_a_missing_library_is_named_with_its_extra(name: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setitem(sys.modules, "compression.zstd", None)

    with pytest.raises(EncodeError, match=rf'pip install "celeriac\[{name}\]"'):
        compress(b"x", name)
    with pytest.raises(DecodeError, match=rf'pip install "celeriac\[{name}\]"'):
        decompress(b"x", name, max_bytes=10)


@pytest.fixture
def reversing() -> Iterator[str]:
    known = dict(compression._by_name)
    compression.register(lambda data: data[::-1], lambda data: data[::-1], "application/x-reverse", ["reverse"])
    yield "reverse"
    compression._by_name.clear()
    compression._by_name.update(known)


def test_a_registered_compression_is_used(reversing: str) -> None:
    assert compress(b"abc", reversing) == (b"cba", "application/x-reverse")
    assert decompress(b"cba", "application/x-reverse", max_bytes=3) == b"abc"
    assert reversing in names()
    with pytest.raises(DecodeError, match="more than 2 when decompressed"):
        decompress(b"cba", reversing, max_bytes=2)
