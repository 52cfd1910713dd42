"""Packets between supervisor and child: one message is one packet.

Packets travel over a socket pair that keeps their borders, so a reader never sees half of one, and a packet that the
child has not read can be taken back whole. What is larger than `MAX_PACKET` travels as an anonymous file whose
descriptor is the packet.

The rules that this file keeps: packets are read with `recvmsg` and refused when the kernel cut them;
an empty packet never exists, because it would read as the end; flags of a socket are never changed, because the
supervisor's handle on the child's end shares them with the child; a full socket is a full window.
"""

from __future__ import annotations

import array
import os
import socket
import sys
import tempfile
import threading
from collections.abc import Sequence
from typing import Final

MAX_PACKET: Final = 64 * 1024
_BUFFER_BYTES: Final = 1024 * 1024
_FILE: Final = b"\x01"  # no msgpack array starts with it
_DESCRIPTORS_MAX: Final = 2
_ANCILLARY: Final = (
    socket.CMSG_SPACE(_DESCRIPTORS_MAX * array.array("i").itemsize) if hasattr(socket, "CMSG_SPACE") else 0
)
# Plain numbers: an `|` of the enum's members costs a microsecond, and there are two for every packet.
_CUT: Final = int(getattr(socket, "MSG_TRUNC", 0)) | int(getattr(socket, "MSG_CTRUNC", 0))
_RECEIVE_FLAGS: Final = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))

DONT_WAIT: Final = int(getattr(socket, "MSG_DONTWAIT", 0))


_buffer = bytearray(MAX_PACKET + 1)


class _Own(threading.local):
    """Hold the buffer of one thread."""

    def __init__(self) -> None:
        self.buffer = bytearray(MAX_PACKET + 1)


_own: _Own | None = None


def receive_in_threads() -> None:
    """Let several threads of this process receive at a time, from now on; it costs each packet 0.1 µs."""
    global _own
    _own = _own or _Own()


def packet_kind(platform: str) -> socket.SocketKind:
    """Choose the sockets: macOS has no `SOCK_SEQPACKET`, its datagrams keep borders and order as well."""
    return socket.SOCK_SEQPACKET if platform == "linux" else socket.SOCK_DGRAM


def pair(platform: str = sys.platform) -> tuple[socket.socket, socket.socket]:
    """Make the two ends of a channel."""
    ends = socket.socketpair(socket.AF_UNIX, packet_kind(platform))
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
    return ends


def send(end: socket.socket, data: bytes, flags: int = 0) -> None:
    """Send one packet.

    Raises:
        BlockingIOError: with `DONT_WAIT`, when the window is full.
        OSError: the other side has gone.
    """
    if len(data) <= MAX_PACKET:
        end.send(data, flags)
    else:
        _send_file(end, data, flags)


def _send_file(end: socket.socket, data: bytes, flags: int) -> None:
    descriptor = _anonymous_file()
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        send_descriptors(end, _FILE, (descriptor,), flags)
    finally:
        os.close(descriptor)


def send_descriptors(end: socket.socket, data: bytes, descriptors: Sequence[int], flags: int = 0) -> None:
    """Send a small packet together with one or two descriptors. Raises as `send` does."""
    end.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))], flags)


def receive(end: socket.socket, flags: int = 0) -> bytes:
    """Receive one packet; empty when the other side has closed its end.

    Not for two threads of a process at a time, unless `receive_in_threads` was called before.

    Raises:
        BlockingIOError: with `DONT_WAIT`, when there is none.
        OSError: the other side died, or the kernel cut the packet.
    """
    data, descriptors = receive_descriptors(end, flags)
    if not descriptors:
        return data
    (descriptor,) = descriptors
    try:
        with open(descriptor, "rb", closefd=False) as file:
            file.seek(0)
            return file.read()
    finally:
        os.close(descriptor)


def receive_descriptors(end: socket.socket, flags: int = 0) -> tuple[bytes, Sequence[int]]:
    """Receive one packet and the descriptors that came with it."""
    buffer = _buffer if _own is None else _own.buffer
    size, ancillary, seen, _ = end.recvmsg_into([buffer], _ANCILLARY, flags | _RECEIVE_FLAGS)
    if seen & _CUT:
        raise OSError(f"a packet of over {MAX_PACKET} bytes was cut")
    data = bytes(memoryview(buffer)[:size])
    if not ancillary:
        return data, ()
    descriptors = array.array("i")
    carried = ancillary[0][2]
    descriptors.frombytes(carried[: len(carried) - len(carried) % descriptors.itemsize])
    return data, descriptors.tolist()


def _anonymous_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("celeriac-packet", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
