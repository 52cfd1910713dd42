"""Servers that speak enough of Redis to be logged in to, and then misbehave."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import hiredis

Answer = Callable[[list[bytes]], bytes | None]
"""Returns what is sent for a command; None: nothing, ever."""

OK = b"+OK\r\n"


def logged_in(answer: Answer) -> Answer:
    """Answer what a client says at its beginning, and leave the rest to `answer`."""

    def answered(words: list[bytes]) -> bytes | None:
        match words[0].upper():
            case b"CLIENT" | b"SELECT" | b"AUTH":
                return OK
            case b"INFO":
                return b"+redis_version:7.0.0\r\n"
            case b"HELLO":
                return b"%1\r\n$5\r\nproto\r\n:3\r\n"
        return answer(words)

    return answered


def silence(words: list[bytes]) -> None:
    """Say nothing."""


@contextmanager
def fake_redis(answer: Answer, *, pause: float = 0.0) -> Iterator[int]:
    """Run a server in threads and yield its port.

    Args:
        answer: what it says.
        pause: seconds before each single byte of what it says; 0: all at once.
    """
    over = threading.Event()
    listening = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        reader = hiredis.Reader()
        with client, contextlib.suppress(OSError):
            while data := client.recv(65_536):
                reader.feed(data)
                while (words := _next(reader)) is not False:
                    said = answer(words) if isinstance(words, list) else None
                    if said is None:
                        over.wait()
                        return
                    for piece in [said] if not pause else [said[at : at + 1] for at in range(len(said))]:
                        if pause and over.wait(pause):
                            return
                        client.sendall(piece)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listening.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listening.getsockname()[1]
    finally:
        over.set()
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()


def _next(reader: hiredis.Reader) -> object:
    """Return the next command, False while it is not complete, None for what is none."""
    try:
        return reader.gets()
    except hiredis.ProtocolError:
        return None


@contextmanager
def black_hole() -> Iterator[int]:
    """Yield a port whose connections are never made: what asks for one hears nothing."""
    with socket.socket() as listening, contextlib.ExitStack() as waiting:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        port = listening.getsockname()[1]
        for _ in range(4):  # whatever the system lets wait; the next one's first packet is dropped
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(("127.0.0.1", port))
        yield port
