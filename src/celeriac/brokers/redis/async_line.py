"""One connection to Redis in an event loop: a command goes out, its answer comes back.

The driver logs in, and then has nothing more to do: its streams cost more of a node than the answers are worth. Here
the loop hands what has come to hiredis, and whoever waits gets the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, cast

import hiredis

from celeriac.brokers.redis.connections import AsyncConnection, take_streams
from celeriac.brokers.redis.dialing import MORE, new_reader

_PUSH: Final[type] = cast("Any", hiredis).PushNotification
_CLOSED: Final = "the server closed the connection"


class AsyncLine(asyncio.Protocol):
    """Use a connection on which nothing is unread, in the event loop that made it; one command at a time.

    Args:
        connection: logged in. The driver does not have it any more afterwards.
        ended: called once, with this line, when the connection has ended, whoever ended it.
        heard: called with each message of a channel that this connection is subscribed to, in protocol 2.

    Attributes:
        has_ended: nothing can be sent any more.
    """

    def __init__(
        self,
        connection: AsyncConnection,
        *,
        ended: Callable[[AsyncLine], None] | None = None,
        heard: Callable[[Any], None] | None = None,
    ) -> None:
        reader, self._writer = take_streams(connection)  # kept: when it is collected it closes what lies below
        self._transport = cast("asyncio.Transport", self._writer.transport)
        self._loop = asyncio.get_running_loop()
        self._reader = new_reader()
        self._waiting: asyncio.Future[None] | None = None
        self._answers: list[Any] = []
        self._due = 0
        self._ended = ended
        self._heard = heard
        self.has_ended = reader.at_eof() or self._transport.is_closing()
        self._transport.set_protocol(self)
        if not self._transport.is_reading():
            self._transport.resume_reading()

    async def exchange(self, packed: bytes, *, within: float, count: int = 1) -> Any:
        """Send a packed command and return its answer; errors that the server answers are returned, too.

        When this is cancelled, or has no answer in time, the connection ends at once: half a command and an answer that
        nobody waits for are of no use to the next one.

        Args:
            packed: several commands, if `count` says so; their answers are returned as a list then.
            within: seconds.

        Raises:
            OSError: the connection broke, or there was no answer in time.
        """
        if self.has_ended or self._transport.is_closing():
            raise ConnectionResetError(_CLOSED)
        waiting = self._waiting = self._loop.create_future()
        self._answers, self._due = [], count
        timer = self._loop.call_later(within, _give_up, waiting)
        try:
            self._transport.write(packed)
            await waiting
        except RuntimeError as error:  # what uvloop says of a connection that the server has closed just now
            raise ConnectionResetError(str(error)) from error
        except (asyncio.CancelledError, TimeoutError):
            self._transport.abort()
            raise
        finally:
            timer.cancel()
            self._waiting = None
        answers = self._answers
        return answers[0] if count == 1 else answers

    def close(self) -> None:
        """Close the connection, and send nothing any more that still waits for that. May be called twice."""
        self.has_ended = True
        self._transport.abort()

    # -- called by the loop -------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Hand over the answer when it is complete."""
        reader = self._reader
        try:
            reader.feed(data, 0, len(data))
            while (answer := reader.gets()) is not MORE:
                self._take(answer)
        except ConnectionResetError as error:  # what has come is no answer
            self._end(error)
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits that nothing more comes."""
        self._end(exc if isinstance(exc, OSError) else ConnectionResetError(_CLOSED))
        if self._ended is not None:
            self._ended(self)

    def _take(self, answer: Any) -> None:
        if type(answer) is _PUSH:  # protocol 3 tells things of its own accord
            return
        if self._heard is not None and type(answer) is list and answer[0] == b"message":
            self._heard(answer)
            return
        waiting = self._waiting
        if waiting is None or waiting.done():
            raise ConnectionResetError("the server answered what nobody has asked")
        self._answers.append(answer)
        if len(self._answers) == self._due:
            waiting.set_result(None)

    def _end(self, error: OSError) -> None:
        self.has_ended = True
        waiting = self._waiting
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)


def _give_up(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(TimeoutError())
