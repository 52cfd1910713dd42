"""Publishing with confirms, from any thread, each call within one absolute deadline.

A call sends all its messages and then waits until the server has confirmed each of them; a window keeps what is on its
way bounded. Messages are mandatory, but for those to everybody: one that no queue takes comes
back, and the call says so.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import struct
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, TypeVar

from celeriac.brokers.amqp.carried import Outgoing
from celeriac.brokers.amqp.deadlines import ending_at
from celeriac.brokers.amqp.dialing import connect, declare, socket_of
from celeriac.brokers.amqp.failures import LOST, Blocked, Refused, driver, ended_by, refusal, unanswered
from celeriac.brokers.amqp.frames import publishing
from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace
from celeriac.brokers.amqp.topology import MADE_AGAIN_AFTER, Declared, Queue
from celeriac.exceptions import BrokerFull, BrokerUnavailable, EncodeError, OperationalError, Unroutable

T = TypeVar("T")

_WINDOW: Final = 2_000
"""Messages that are sent before their confirms are looked at."""

_AT_ONCE: Final = 64
"""Messages that one system call sends."""

_FRESH: Final = 1.0
"""Seconds for which an idle connection is used without a look at it."""

ASK_WITHIN: Final = 10.0
"""Seconds for what people ask."""

_ENOUGH: Final = 0.05


def ask_until() -> float:
    """Return the monotonic instant by which something has ended that a person asks for now."""
    return time.monotonic() + ASK_WITHIN


class Line:
    """Hold one connection with one channel; used by one thread at a time."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.used_at = 0.0
        self.declared: set[Declared] = set()
        self.connection: Any = None
        self.channel: Any = None
        self._sent = 0
        self._confirmed = 0
        self._early: set[int] = set()
        self._refused: list[int] = []
        self._returned: list[tuple[str, str, str]] = []
        self._blocked: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection, as far as is known without a look at it."""
        return self.channel is not None

    def take(self, connection: Any) -> None:
        """Begin to use a connection that is logged in."""
        self.connection = connection
        self._blocked = None
        connection.on_blocked = self._note_blocked
        connection.on_unblocked = self._note_unblocked
        self.declared = set()
        self.open_channel()

    def open_channel(self) -> None:
        """Begin anew on the connection: the server has closed the channel, or there was none."""
        channel = self.channel = self.connection.channel()
        self._sent = self._confirmed = 0
        self._early.clear()
        channel.events["basic_ack"].add(self._note_confirmed)
        channel.events["basic_nack"].add(self._note_nacked)
        channel.events["basic_return"].add(self._note_returned)
        channel.confirm_select()

    def drop(self) -> None:
        """Close the connection without a word to the server."""
        connection, self.connection, self.channel = self.connection, None, None
        if connection is not None:
            with contextlib.suppress(Exception):
                connection.collect()

    def __del__(self) -> None:
        self.drop()  # nobody can use it further, and a socket that is only forgotten warns

    def leave_to_parent(self) -> None:
        """Forget a connection that belongs to the process that this one was forked from."""
        sock = socket_of(self.connection)
        if sock is not None:
            sock.detach()
        self.connection = self.channel = None

    def note_used(self, deadline_at: float) -> None:
        """Know that something was done by now; past its deadline the socket may have been shut down."""
        now = time.monotonic()
        self.used_at = now if now < deadline_at else 0.0

    def is_broken(self) -> bool:
        """Look whether an idle connection was closed by the server."""
        sock = socket_of(self.connection)
        if sock is None:
            return True
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        try:
            while poll.poll(0):
                self.connection.drain_events(timeout=0.1)
        except (*LOST, driver.AMQPError):
            return True
        return not self.connection.connected

    def publish(self, outgoing: Sequence[Outgoing]) -> None:
        """Send messages, and return when all of them are confirmed.

        Raises:
            EncodeError: one has what AMQP cannot carry, so nothing was sent.
            OSError, AMQPError: the connection or the channel was lost meanwhile.
            BrokerFull, OperationalError: the server has taken all but those that the text names.
        """
        self._refused.clear()
        self._returned.clear()
        first = self._sent + 1
        number, frame_max = self.channel.channel_id, self.connection.frame_max
        written = [publishing(number, one, frame_max=frame_max) for one in outgoing]
        send = self.connection.transport.write
        for at in range(0, len(written), _AT_ONCE):
            some = written[at : at + _AT_ONCE]
            send(some[0] if len(some) == 1 else b"".join(some))
            self._sent += len(some)
            if self._sent - self._confirmed >= _WINDOW:
                self._drain(self._sent - _WINDOW // 2)
        self._drain(self._sent)
        if self._refused:
            names = [outgoing[tag - first].carried.properties.get("correlation_id") for tag in self._refused]
            raise BrokerFull(f"a queue is full (its overflow is reject-publish) and refused {names[:3]}")
        if self._returned:
            raise unroutable(self._returned)

    def returned_of(self, outgoing: Sequence[Outgoing]) -> list[Outgoing]:
        """Return those of the messages published last that no queue has taken."""
        returned = set(self._returned)
        return [
            one
            for one in outgoing
            if (str(one.carried.properties.get("correlation_id")), one.exchange, one.key) in returned
        ]

    def _drain(self, upto: int) -> None:
        while self._confirmed < upto:
            self.connection.drain_events(timeout=None)

    def why_silent(self) -> str | None:
        """Return why the server takes nothing now, when it has said so."""
        return self._blocked

    def _note_confirmed(self, tag: int, multiple: bool) -> None:
        if multiple:
            self._confirmed = max(self._confirmed, tag)
            self._early = {one for one in self._early if one > tag}
        else:
            self._early.add(tag)
        while self._confirmed + 1 in self._early:
            self._confirmed += 1
            self._early.discard(self._confirmed)

    def _note_nacked(self, tag: int, multiple: bool) -> None:
        self._refused += range(self._confirmed + 1, tag + 1) if multiple else [tag]
        self._note_confirmed(tag, multiple)

    def lacks(self, queues: Iterable[str]) -> bool:
        """Say whether one of these queues is not there."""
        asking = self.connection.channel()
        for queue in queues:
            try:
                asking.queue_declare(queue, passive=True)
            except Refused:  # the server closes the channel with it
                return True
        asking.close()
        return False

    def _note_returned(self, error: Any, exchange: str, key: str, message: Any) -> None:
        self._returned.append((str(message.properties.get("correlation_id")), exchange, key))

    def _note_blocked(self, reason: str) -> None:
        self._blocked = reason or "blocked"

    def _note_unblocked(self) -> None:
        self._blocked = None


class Publisher:
    """Publish to one place, from any thread."""

    def __init__(self, place: AmqpPlace, options: AmqpOptions) -> None:
        self.place = place
        self.options = options
        self._begin()
        _publishers.add(self)

    def _begin(self) -> None:
        most = self.options.max_connections
        self._room = None if most is None else threading.BoundedSemaphore(most)
        self._idle: deque[Line] = deque()
        self._lines: weakref.WeakSet[Line] = weakref.WeakSet()
        self._adding = threading.Lock()  # nobody may add to a set while somebody looks through it
        self._first = 0

    def after_fork(self) -> None:
        """Leave the parent's connections to the parent."""
        for line in list(self._lines):
            line.leave_to_parent()
        self._begin()

    def publish(self, outgoing: Sequence[Outgoing], *, deadline_at: float) -> None:
        """Publish messages and return when the server has confirmed all of them.

        Raises:
            BrokerUnavailable: no confirm of all by the deadline; `maybe_published` says whether some may be there.
            BrokerFull: a queue refused one, or the server takes nothing because its memory or disk is short.
            OperationalError: no queue takes a message.
            ImproperlyConfigured: what is declared is there already, otherwise.
        """
        kinds = {id(one.needs): one.needs for one in outgoing}  # messages to one queue share what they need
        needed = dict.fromkeys(need for needs in kinds.values() for need in needs)
        with self._turn(deadline_at), self._line() as line:
            self._open(line, deadline_at)
            believed = not line.declared.isdisjoint(needed)
            if not line.declared.issuperset(needed):
                self._within(deadline_at, line, lambda: self._declare(line, needed), "declaring queues", sent=False)
            doing = f"publishing {len(outgoing)} messages"
            try:
                self._within(deadline_at, line, lambda: line.publish(outgoing), doing)
            except Unroutable:
                again = line.returned_of(outgoing)
                if not believed or not again:
                    raise
                line.declared.clear()  # somebody may have deleted a queue since
                self._let_consumers_know(line, needed, deadline_at)
                self._within(deadline_at, line, lambda: self._declare(line, needed), "declaring queues", sent=False)
                self._within(deadline_at, line, lambda: line.publish(again), doing)

    def declare(self, needs: Sequence[Declared], *, deadline_at: float) -> None:
        """Declare what is not there; errors are those of `publish`."""
        with self._line() as line:
            needed = dict.fromkeys(needs)
            self._within(deadline_at, line, lambda: self._declare(line, needed), "declaring queues", sent=False)

    def forget_declared(self) -> None:
        """Declare everything again when it is used next: somebody has deleted something."""
        with self._adding:
            lines = list(self._lines)
        for line in lines:
            line.declared = set()

    def call(self, work: Callable[[Any], T], doing: str, *, deadline_at: float) -> T:
        """Do something on a channel of py-amqp, which is not to be used afterwards.

        Raises:
            BrokerUnavailable: there is no answer by the deadline.
            OperationalError: the server refuses; the text says what it says.
        """
        with self._line() as line:
            return self._within(deadline_at, line, lambda: work(line.channel), doing, sent=False)

    @contextmanager
    def channel(self, doing: str, *, deadline_at: float) -> Iterator[Any]:
        """Lend a channel of py-amqp of its own, which is closed at the end: what it holds goes back.

        Raises:
            BrokerUnavailable: the block is not over by the deadline.
            OperationalError: the server refuses; the text says what it says.
        """
        started_at = time.monotonic()
        with self._line() as line:
            channel = self._within(deadline_at, line, lambda: line.connection.channel(), doing, sent=False)
            number = channel.channel_id
            try:
                with ending_at(deadline_at, lambda: socket_of(line.connection)):
                    yield channel
                    channel.close()
                line.connection.watch_no_more(number)
                line.note_used(deadline_at)
            except Refused as error:
                line.drop()
                raise refusal(error, self.place.address, doing) from error
            except (*LOST, driver.AMQPError) as error:
                line.drop()
                told, took = ended_by(error, deadline_at), time.monotonic() - started_at
                raise unanswered(told, self.place.address, doing, took, sent=False) from error
            except BaseException:
                line.drop()
                raise

    def close(self) -> None:
        """Close the idle connections. May be called twice."""
        idle, self._idle = self._idle, deque()
        for line in idle:
            line.drop()

    # -- within a deadline ----------------------------------------------------------------------------------------

    def _within(self, deadline_at: float, line: Line, work: Callable[[], T], doing: str, *, sent: bool = True) -> T:
        """Do something on a line that is open; only what has certainly not been done is tried again.

        Args:
            sent: a failure leaves open whether it was done.
        """
        started_at = time.monotonic()
        where = self.place.address

        def sock() -> Any:
            return socket_of(line.connection)

        self._open(line, deadline_at)
        try:
            with ending_at(deadline_at, sock):
                done = work()
        except Refused as error:
            self._replace_channel(line, deadline_at)
            raise refusal(error, where, doing) from error
        except (BrokerFull, OperationalError):
            line.note_used(deadline_at)
            raise
        except struct.error as error:  # nothing was sent
            line.drop()
            raise EncodeError(f"{doing}: a name is longer than the 255 bytes that RabbitMQ can carry") from error
        except (*LOST, driver.AMQPError) as error:
            silent = line.why_silent()
            line.drop()
            if silent is not None:
                raise Blocked(where, silent, sent=sent) from error
            told, took = ended_by(error, deadline_at), time.monotonic() - started_at
            raise unanswered(told, where, doing, took, sent=sent) from error
        except BaseException:
            line.drop()
            raise
        line.note_used(deadline_at)
        return done

    def _open(self, line: Line, deadline_at: float) -> None:
        """Make sure that a line has a connection; nothing was asked yet, so it may be tried again."""
        if line.is_open and time.monotonic() - line.used_at > _FRESH:
            if line.is_broken():
                line.drop()
            line.used_at = time.monotonic()
        naps = self.options.naps()
        started_at = time.monotonic()
        while not line.is_open:
            try:
                connection, self._first = connect(self.place, self.options, deadline_at=deadline_at, first=self._first)
                with ending_at(deadline_at, partial(socket_of, connection)):
                    line.take(connection)
            except (BrokerUnavailable, *LOST, driver.AMQPError) as error:
                line.drop()
                nap = next(naps, math.inf)
                if time.monotonic() + nap + _ENOUGH >= deadline_at:
                    if isinstance(error, BrokerUnavailable):
                        raise
                    told, took = ended_by(error, deadline_at), time.monotonic() - started_at
                    raise unanswered(told, self.place.address, "opening a channel", took, sent=False) from error
                time.sleep(nap)

    def _declare(self, line: Line, needed: dict[Declared, None]) -> None:
        for need in needed:
            if need not in line.declared:
                declare(line.channel, need)
                line.declared.add(need)

    def _let_consumers_know(self, line: Line, needed: Iterable[Declared], deadline_at: float) -> None:
        """Wait, when a quorum queue was deleted, until its consumers are told."""
        quorum = [need.name for need in needed if isinstance(need, Queue) and need.is_quorum]
        if not quorum:
            return
        if self._within(deadline_at, line, lambda: line.lacks(quorum), "looking for queues"):
            time.sleep(max(0.0, min(MADE_AGAIN_AFTER, (deadline_at - time.monotonic()) / 2)))

    def _replace_channel(self, line: Line, deadline_at: float) -> None:
        """Give a line a new channel in the place of the one that the server has closed, or drop it."""
        line.declared = set()
        try:
            with ending_at(deadline_at, lambda: socket_of(line.connection)):
                line.open_channel()
            line.note_used(deadline_at)
        except (*LOST, driver.AMQPError):
            line.drop()

    @contextmanager
    def _turn(self, deadline_at: float) -> Iterator[None]:
        """Wait until fewer connections publish than may."""
        room = self._room
        if room is None:
            yield
            return
        left = max(0.0, deadline_at - time.monotonic())
        within = self.options.acquire_timeout
        if not room.acquire(timeout=left if within is None else min(left, within)):
            raise BrokerUnavailable(
                f"all {self.options.max_connections} connections to rabbitmq at {self.place.address} are in use by "
                "other threads; raise broker_pool_limit"
            )
        try:
            yield
        finally:
            room.release()

    @contextmanager
    def _line(self) -> Iterator[Line]:
        try:
            line = self._idle.pop()
        except IndexError:
            line = Line()
            with self._adding:
                self._lines.add(line)
        try:
            yield line
        finally:
            if line.pid == os.getpid():
                self._idle.append(line)


def unroutable(returned: Sequence[tuple[str, str, str]]) -> Unroutable:
    """Say which messages no queue has taken, each by its id, exchange and routing key."""
    task_id, exchange, key = returned[0]
    where = f"exchange {exchange!r}, routing key {key!r}" if exchange else f"queue {key!r}"
    return Unroutable(
        f"no queue takes message {task_id}, published to {where}"
        + (f", and {len(returned) - 1} others" if len(returned) > 1 else "")
        + "; declare the queue in task_queues, or bind one to that exchange",
        exchange=exchange,
        routing_key=key,
    )


_publishers: weakref.WeakSet[Publisher] = weakref.WeakSet()


def _after_fork() -> None:
    for publisher in list(_publishers):
        publisher.after_fork()


os.register_at_fork(after_in_child=_after_fork)
