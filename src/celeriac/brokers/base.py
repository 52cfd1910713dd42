"""What a broker is: the port that every adapter implements.

A *broker* keeps messages and must not lose them. It has two sides. Producers use `Broker`: blocking calls, each with
a deadline. A worker node uses the `Consumer` that `Broker.consumer` makes: coroutines, all of them acting for one
*owner*. `celeriac.testing.brokers` says what every method must do, as a suite that each adapter passes.
"""

from __future__ import annotations

import enum
import os
import secrets
import socket
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from celeriac.brokers.joins import JoinEffects
from celeriac.brokers.revocations import FEED_MAX, Feed, Revocation
from celeriac.brokers.topology import Binding, Queue
from celeriac.exceptions import ImproperlyConfigured
from celeriac.message import Message

if TYPE_CHECKING:
    from celeriac.brokers.bus import Bus
    from celeriac.brokers.leaving import Leaving

MESSAGE_MAX_BYTES: Final = 16 * 1024 * 1024
"""Largest message (headers and body) that is published or handed to a worker, unless configured otherwise."""

DEAD_LETTER_MAX: Final = 10_000
"""Dead letters kept per queue; the oldest go first."""

DEAD_LETTER_EXPIRES: Final = 180 * 86_400.0
"""Seconds for which a dead letter is kept."""


class Incarnation(msgspec.Struct, frozen=True, kw_only=True):
    """Identify one start of one node: the owner of its claims.

    A node's name is for people: after a crash its successor has the same one, and two nodes may share it. What was
    claimed belongs to the incarnation, which nothing else can ever be.
    """

    node: str
    host: str
    boot_id: str
    pid: int
    token: str

    @classmethod
    def begin(cls, node: str) -> Incarnation:
        """Make the identity of a node that starts now, in this process."""
        return cls(
            node=node, host=socket.gethostname(), boot_id=_boot_id(), pid=os.getpid(), token=secrets.token_hex(8)
        )


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class ResultMeta(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Record what a run came to, for a result backend to keep.

    Attributes:
        task_id: names the run.
        state: one of `celeriac.states`, or a custom state.
        record: Celery's result map as serialized, exactly as readers will get it.
        retries: attempt that this is the outcome of, from 0.
        reply_to, correlation_id: where the caller hears of it, and by which name; only where results are sent and not
            kept (`ResultBackend.sends_answers`).
    """

    task_id: str
    state: str
    record: bytes
    retries: int = 0
    reply_to: str | None = None
    correlation_id: str | None = None


class Conflict(msgspec.Struct, frozen=True, gc=False):
    """Say that a message was not published, because another run has its unique key.

    Attributes:
        position: of the message among those that were to be published, from 0.
        key: what both of them want.
        task_id: the run that has it.
    """

    position: int
    key: str
    task_id: str


PUT_ASIDE_AT: Final = 253_402_300_799.0
"""Unix instant until which messages are delayed that wait for room: the end of the year 9999."""


class Booking(msgspec.Struct, frozen=True, gc=False):
    """Keep the start that a message was given under a rate limit of its store.

    Attributes:
        at: unix instant.
        is_final: it was given at the gate (`rates.py`), and is no place in the line.
    """

    at: float
    is_final: bool


class RateRequest(msgspec.Struct, frozen=True, gc=False):
    """Ask when one run may start under a rate limit.

    Attributes:
        key: what is limited.
        interval: seconds from one start to the next.
        booking: the start that it was given before, or None.
    """

    key: str
    interval: float
    booking: Booking | None = None


class Room(msgspec.Struct, frozen=True, gc=False):
    """Let so many runs of a key go on at a time, over all nodes (`concurrency_key`, `concurrency_limit`).

    A run is inside from `Consumer.enter` on for as long as its message is claimed: what ends the claim, a settlement, a
    release or the death of the node, ends that too.
    """

    key: str
    limit: int


class Delivery(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Hand one message over to one owner; it is settled exactly once.

    Attributes:
        tag: names the message inside its broker (never the task id: one id may be published twice).
        owner: fencing token of the claim. What arrives with an owner who has lost the message is refused.
        message: what was published.
        crashes: runs of this message whose child died under them.
        node_losses: nodes that died after handing this message to a child.
        releases: times that it was released because its task was unknown.
        redelivered: True when somebody else has held it before.
        fault: why the message cannot be handed over as it is (too large, a column of the wrong type), or None. The
            parts that cannot be had are empty then, and the only thing to do is to dead-letter it.
        replaced_by: the run that has taken its unique key, so that this one is not to begin; or None.
        booking: the start that it was given under a rate limit, or None.
    """

    tag: int
    owner: int
    message: Message
    crashes: int = 0
    node_losses: int = 0
    releases: int = 0
    redelivered: bool = False
    fault: str | None = None
    replaced_by: str | None = None
    booking: Booking | None = None


class Claim(msgspec.Struct, frozen=True, gc=False):
    """Answer a claim: what was taken, and the store's clock.

    Attributes:
        deliveries: in the order in which they are to run.
        now: unix instant by the store's clock; the only `now` that decisions about these deliveries may use.
        revocations: version of what is revoked (`revocations.py`). What was revoked before this claim is in it; on
            RabbitMQ, which tells nodes of it without being asked, what was revoked some moments before.
    """

    deliveries: list[Delivery]
    now: float
    revocations: int = 0


class Settlement(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """End a delivery, together with all that follows from it.

    Attributes:
        delivery: what is settled.
        result: the record to keep, or None.
        publish: messages that follow (a retry, callbacks).
        dead_reason: why the message is a dead letter, or None when it is simply done with.
        frees: the unique key that ends with the run, or None; it is left alone when another run has it.
        room: what the run was inside of, or None; those that wait for it are let in.
        others: records of runs that never begin because of how this one ended.
        joins: what it does to the joins of chords, or None; the internal messages of those that it completes are
            published with it.
    """

    delivery: Delivery
    result: ResultMeta | None = None
    publish: tuple[Message, ...] = ()
    dead_reason: str | None = None
    frees: str | None = None
    room: Room | None = None
    others: tuple[ResultMeta, ...] = ()
    joins: JoinEffects | None = None

    @property
    def results(self) -> tuple[ResultMeta, ...]:
        """All records to keep."""
        return self.others if self.result is None else (self.result, *self.others)


class ReleaseCause(enum.Enum):
    """Say what a release counts as."""

    UNCOUNTED = "uncounted"
    CRASH = "crash"
    UNKNOWN_TASK = "unknown task"


class Release(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """Give a claim back to its queue.

    Attributes:
        delivery: what is given back; it keeps its place in the queue, and a booking when it has one.
        eta_at: unix instant before which nobody may claim it, or None for at once.
        cause: which of the message's counters goes up.
    """

    delivery: Delivery
    eta_at: float | None = None
    cause: ReleaseCause = ReleaseCause.UNCOUNTED


class QueueDepth(msgspec.Struct, frozen=True, kw_only=True):
    """Count what one queue holds."""

    queue: str
    ready: int = 0
    delayed: int = 0
    claimed: int = 0
    dead: int = 0


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """Keep a message that nobody could settle, where a person can look at it.

    Attributes:
        number: names the dead letter in its broker.
        task: name of the task as far as it could be read, or None.
        died_at: unix instant.
        message: None when it is listed rather than shown, or too large to be shown.
    """

    number: int
    queue: str
    task_id: str
    task: str | None
    reason: str
    died_at: float
    size_bytes: int
    message: Message | None = None


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """Say what an adapter can do, so that callers ask instead of guessing.

    Attributes:
        crosses_processes: other processes see what is published.
        survives_restart: messages outlive the process that holds the store.
        has_server: another process answers for the broker, which may start later, or again.
        keeps_limits: it has a store for what holds over all nodes: unique keys, rate limits and concurrency keys.
    """

    crosses_processes: bool
    survives_restart: bool
    has_server: bool = False
    keeps_limits: bool = True


class Concern(msgspec.Struct, frozen=True):
    """Say what endangers what a store keeps, and how to put it right."""

    found: str
    cure: str


class Checkup(msgspec.Struct, frozen=True):
    """Say how a store is set up.

    Attributes:
        subject: what it is, in a word.
        described: a line for people.
        concerns: what works until something goes wrong.
    """

    subject: str
    described: str
    concerns: tuple[Concern, ...] = ()


class Broker(ABC):
    """Keep messages until their effects are stored. The producer's side."""

    capabilities: Capabilities

    @property
    @abstractmethod
    def url(self) -> str:
        """Where the broker is, for people: without a password."""

    @abstractmethod
    def open(self, *, deadline_at: float) -> None:
        """Make sure that the broker can be used. Every other method opens it by itself.

        Raises:
            BrokerUnavailable: it cannot be reached, read or written; the text names the cure.
        """

    def check_up(self) -> Checkup | None:
        """Look at how the broker is set up; None where there is nothing that could be otherwise.

        Raises:
            BrokerUnavailable: it cannot be asked.
        """
        return None

    def examine(self) -> list[Checkup]:
        """Look at what takes a while, for people who ask: at each queue, and at what else can be asked.

        Raises:
            BrokerUnavailable: it cannot be asked.
        """
        return []

    @abstractmethod
    def close(self) -> None:
        """Let go of connections. May be called twice; a later call of another method opens again."""

    @abstractmethod
    def publish(self, messages: Sequence[Message], *, deadline_at: float) -> Sequence[Conflict]:
        """Store every message, or none, or raise.

        Returning means that the broker has them all, but for those that are named in what it returns. Unique keys are
        taken in the same step. Safe to call from any thread.

        Args:
            messages: each at most `MESSAGE_MAX_BYTES`, for a queue, or for an exchange (`Message.route`).
            deadline_at: monotonic instant by which the call has ended.

        Returns:
            Those that are not there because another run has their unique key. When one of them says `RAISE`, none of
            the batch is there.

        Raises:
            Unroutable: the exchange of one leads to no queue; none of the batch is there.
            BrokerUnavailable: no confirmation by the deadline; `maybe_published` says whether it may be there.
            BrokerFull: there is no room.
        """

    @abstractmethod
    def declare(self, queues: Iterable[Queue]) -> None:
        """Know what queues there are to be, and what leads to them. Nothing is sent: it is made known when it counts.

        That is at the latest before the first message that needs it, and when a consumer first claims from the queue.
        A queue that is not declared is bound to a direct exchange of its own name, by its name.
        """

    @abstractmethod
    def bindings(self, exchange: str, *, deadline_at: float) -> list[Binding]:
        """Return what leads from an exchange to queues, by all that anybody has made known.

        Raises:
            BrokerUnavailable: no answer by `deadline_at`, a monotonic instant.
        """

    @abstractmethod
    def depths(self, queues: Collection[str] | None = None) -> list[QueueDepth]:
        """Count what each queue holds, in the order of their names; None counts every queue that holds anything."""

    def delayed(self, queues: Collection[str], *, limit: int = 100) -> list[Message]:
        """Return messages that wait for their time in some queues, the next ones first, that instant as their `eta_at`.

        For people to look at: there may be others. A broker that cannot look into its queues tells of none.
        """
        return []

    @abstractmethod
    def purge(self, queue: str) -> int:
        """Delete what waits in a queue, delayed messages too, and say how many they were. Claims stay."""

    @abstractmethod
    def dead_letters(self, *, queue: str | None = None, limit: int = 100) -> list[DeadLetter]:
        """List dead letters without their messages, the newest first."""

    @abstractmethod
    def dead_letter(self, number: int) -> DeadLetter | None:
        """Return one dead letter with its message, or None when there is none of that number."""

    @abstractmethod
    def replay(self, numbers: Collection[int]) -> list[str]:
        """Put dead letters back into their queues under the same ids, counters at 0, and return the task ids.

        The FAILURE that was stored when they died does not stand in the way of the new outcome.
        """

    @abstractmethod
    def bury(self, letters: Collection[tuple[Message, str]], *, deadline_at: float) -> None:
        """Keep messages that the broker has forgotten already as dead letters, each with the reason; all or none.

        This is for what was acked before its run. What is still claimed dies by its settlement.

        Raises:
            BrokerUnavailable: no confirmation by `deadline_at`, a monotonic instant.
        """

    @abstractmethod
    def discard(self, numbers: Collection[int]) -> int:
        """Delete dead letters and say how many there were."""

    @abstractmethod
    def revoke(self, revocations: Sequence[Revocation], *, deadline_at: float) -> list[str]:
        """Keep that ids are revoked, for all nodes and for those to come. Safe to call from any thread.

        A later revocation of an id takes the place of the one before. Every claim that is made after this has returned
        tells another version than those before.

        Returns:
            The ids of which this is news; one that says what is known already changes nothing.

        Raises:
            BrokerUnavailable: no confirmation by `deadline_at`, a monotonic instant. Some may be kept; to revoke all of
                them once more does what was left.
        """

    @abstractmethod
    def revocations(self, since: int = 0, *, limit: int = FEED_MAX) -> Feed:
        """Return what was revoked after a version, at most so many ids; what has expired is left out."""

    @abstractmethod
    def revoked(self, task_ids: Collection[str]) -> dict[str, Revocation]:
        """Return the revocations of those ids that are revoked."""

    @abstractmethod
    def claimed(self, task_ids: Collection[str]) -> set[str]:
        """Return those ids whose message a node may hold now. It may name too many of them, never too few.

        What was acked before its run is nobody's.
        """

    def has_other_workers(self, exchange: str) -> bool:
        """Say whether workers that are no nodes of ours may be running what nobody holds here.

        Args:
            exchange: on which they hear commands.
        """
        return False

    @abstractmethod
    def owners(self) -> list[Incarnation]:
        """Return the nodes that nobody has declared dead, in the order in which they registered."""

    @abstractmethod
    def clean(self) -> int:
        """Delete a bounded share of what is kept no longer (old dead letters, revocations) and say how much that was.

        0 means that nothing is left to do now.
        """

    @abstractmethod
    def consumer(self, incarnation: Incarnation) -> Consumer:
        """Make the worker's side for a node. It owns nothing until its `open`."""

    def bus(self) -> Bus:
        """Make the bus of the same place, for control commands and events, without connecting it.

        Raises:
            ImproperlyConfigured: this technology has none.
        """
        raise ImproperlyConfigured(
            f"the broker {self.url} has no bus, so there are no control commands and no events; "
            "sqlite:// and redis:// have one"
        )

    def leaving(self) -> Leaving | None:
        """Return the way from here to Celery's workers, or None where they do not read these queues."""
        return None


class Taker(Protocol):
    """Run what follows a run at once, where it could begin in the moment in which that run is settled."""

    def room(self) -> tuple[Sequence[str], int]:
        """Return the queues that are claimed from, and how many messages of theirs could begin now."""
        ...

    def accepts(self, message: Message) -> bool:
        """Say whether nothing has to be asked before a message begins."""
        ...

    def take(self, claim: Claim) -> None:
        """Have messages run that were claimed by a settlement. Called in the event loop of the consumer."""
        ...


class Consumer(ABC):
    """Claim and settle for one owner. The worker's side; used from one event loop.

    Every method raises `BrokerUnavailable` when the broker cannot be reached; nothing has changed then, or, where
    the answer got lost, the next `reconcile` repairs it.
    """

    owner: int
    """Number of the current lease. Another one after the lease was lost and `open` called again."""

    @abstractmethod
    async def open(self) -> None:
        """Register as an owner under a number that nobody had before."""

    @abstractmethod
    async def close(self) -> None:
        """Release what is still owned, uncounted, and stop being an owner. May be called twice."""

    async def attend(self, queues: Sequence[str]) -> None:  # noqa: B027 - most have nothing to do before a claim
        """Have declared queues take effect before the first claim from them, so that nothing sent after this is missed.

        `claim` does it by itself when it is called with other queues.
        """

    async def take_no_more(self) -> None:  # noqa: B027 - most hand over what was claimed, and nothing before
        """Have what was handed over and never claimed go back to its queues. No claim follows but after `open`."""

    @abstractmethod
    async def claim(self, queues: Sequence[str], *, limit: int, wait: float) -> Claim:
        """Take messages and become their owner in one step; wait until there is one.

        Messages whose `eta_at` has come are claimable, in the place in the queue that they had.

        Args:
            queues: where to look; none of them starves while another one is full. What the broker has declared of them
                takes effect with the first claim; one that is for this node alone ends with it.
            limit: how many at most, at least 1. Fewer come when they are large (a claim weighs 16 MiB or is a
                single message).
            wait: seconds to wait while there is nothing; 0 only looks.

        Raises:
            LeaseLost: this owner was declared dead.
        """

    @abstractmethod
    async def settle(self, settlements: Sequence[Settlement], results: ResultSink | None) -> list[Settlement]:
        """End deliveries: publish, record and delete in one transaction.

        Args:
            settlements: what to end.
            results: where records go when this consumer `shares_store_with` it; None when records were stored
                before.

        Returns:
            Those that were refused, because the delivery belongs to somebody else now. Nothing of them took place.

        What follows says KEEP, YIELD or REPLACE when it is unique, so none of it is left out. What goes to an exchange
        that leads nowhere becomes a dead letter: there is nobody who could be told.
        """

    def hand_over_to(self, taker: Taker) -> None:  # noqa: B027 - most have what follows claimed as anything else
        """Let a settlement claim what it publishes, for this owner and in the same step, where nobody is passed over.

        That is: it may be claimed at once, from queues of the taker, and nothing else could be claimed from any of
        these. Called before the first settlement.
        """

    @abstractmethod
    async def free(self, runs: Sequence[tuple[str, str]]) -> None:
        """Give unique keys back of runs whose messages are settled long since; each is (key, task id)."""

    @abstractmethod
    async def book(self, requests: Sequence[RateRequest]) -> tuple[list[Booking], float]:
        """Say when runs may start, each in turn, and the store's clock.

        Starts of one key are an interval apart, over all nodes (`rates.py`). A start that is not over yet is waited
        for in the store: release the message until then, with the booking in its delivery. Claimed again it asks
        again, with that booking, and keeps its place.
        """

    @abstractmethod
    async def enter(self, runs: Sequence[tuple[Delivery, Room]]) -> list[bool]:
        """Let runs begin for which there is room, each in turn.

        Those of which the answer is False are claimed no more: they wait in the store, in the order in which they came
        to it, and are claimable again when there is room. Who comes later does not go before them.
        """

    @abstractmethod
    async def release(self, releases: Sequence[Release]) -> None:
        """Give claims back. What is no longer owned is left alone."""

    @abstractmethod
    async def extend(self) -> None:
        """Show peers that this owner lives. Called every 2 s.

        Raises:
            LeaseLost: this owner was declared dead.
        """

    @abstractmethod
    async def recover(self) -> int:
        """Look at the other owners; release what those hold who are dead. Returns how many messages that were.

        Called every second or so. An owner is dead when its process is known to have gone, or when it has not
        extended for 8 s of this process's monotonic time in which this process's own calls were answered.
        """

    @abstractmethod
    async def peers(self) -> list[Incarnation]:
        """Return the other owners that nobody has declared dead."""

    @abstractmethod
    async def reconcile(self, held: Collection[int]) -> int:
        """Release, uncounted, what the store says this owner holds but `held` (tags) does not name."""

    @abstractmethod
    def holds(self, delivery: Delivery) -> bool:
        """Say whether a delivery was claimed under the current lease; those of a lost one belong to others."""

    @abstractmethod
    def note_started(self, delivery: Delivery) -> None:
        """Note that a delivery was handed to a child, so that the death of this node counts against it. Cheap."""

    notes_last: bool = True
    """What `note_started` notes outlives this process from the moment of the call; else there is `foretell`."""

    async def foretell(self, delivery: Delivery) -> None:
        """Do as `note_started`, before the delivery is handed over, and return when the note lasts or cannot be made.

        For what somebody had before: a body that kills its node at once must not go on to kill one after another.
        """
        self.note_started(delivery)

    @abstractmethod
    def note_ended(self, delivery: Delivery) -> None:
        """Note that a delivery is with no child any more. Cheap."""

    @abstractmethod
    def shares_store_with(self, results: object) -> bool:
        """Say whether `settle` can write this backend's records in its own transaction."""


class ResultSink(ABC):
    """What a consumer needs of a result backend that lives in its own store."""

    @abstractmethod
    def write_within(self, transaction: object, results: Sequence[ResultMeta]) -> None:
        """Store records inside a transaction of the shared store (its own type; adapters know it)."""

    @abstractmethod
    def join_within(self, transaction: object, effects: Sequence[JoinEffects]) -> Sequence[Message]:
        """Change joins inside such a transaction; return the internal messages to publish in it, each join's once."""

    @abstractmethod
    def announce(self) -> None:
        """Wake those who wait for results, after the transaction was committed."""
