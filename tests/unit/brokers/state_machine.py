"""Everything that can happen to a broker, in any order, with processes dying between any two writes.

After every step each message is in exactly one place: waiting, delayed, claimed by one owner (who may be dead), dead,
or gone with its result. The naive `Model` says which. An operation that dies took place as a whole, or not at all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from celeriac.brokers.base import Delivery, ReleaseCause, Settlement
from celeriac.exceptions import LeaseLost
from celeriac.message import Message
from celeriac.states import FAILURE, RETRY, SUCCESS
from celeriac.testing.brokers import publish
from celeriac.testing.worlds import LEASE_OUTLASTED, Node, a_result
from tests.unit.brokers.crashing_worlds import CrashingWorld, ProcessDied
from tests.unit.brokers.model import NOBODY, Model, Picture, Row

QUEUES = ("a", "b")
MAX_NODES = 3
ENDINGS = ("success", "retry", "later retry", "dead letter")

crash_points = st.integers(0, 40).map(lambda number: number - 28 if number > 28 else None)
"""Steps after which to die. Mostly None, or nothing would ever get far; most operations take fewer than ten."""


@dataclass
class Held:
    """A delivery as a node remembers it, and what it is in the model: which row, and which claim of it."""

    delivery: Delivery
    place: int
    claim: int


@dataclass
class Worker:
    """A node, its owner number, what it believes to hold, and what it once held."""

    node: Node
    owner: int
    held: list[Held] = field(default_factory=list)
    past: list[Held] = field(default_factory=list)

    def let_go(self, some: list[Held]) -> None:
        self.held = [one for one in self.held if one not in some]
        self.past += some


class BrokerMachine(RuleBasedStateMachine):
    """Subclass it and say in `make_world` which broker."""

    priorities = (0, 1, 2)
    """Each of them is served before the next one."""

    keeps_places = True
    """What comes back has the place that it always had. Otherwise it comes to lie in front, later ones before it."""

    def make_world(self) -> CrashingWorld:
        raise NotImplementedError

    @initialize()
    def begin(self) -> None:
        self.world = self.make_world()
        self.broker = self.world.broker()
        results = self.world.results()
        assert results is not None, "what is done must have exactly one result, in one transaction"
        self.results = results
        self.model = Model()
        self.live: list[Worker] = []  # never empty: somebody must find the dead
        self.fenced: list[Worker] = []
        self.dead_owners: set[int] = set()
        self.tokens = 0
        self.start_node(None)

    @rule(data=st.data())
    def go_on(self, data) -> None:
        """Take one step. One rule for all: Hypothesis leaves whole rules out of a run, and without claims, say,
        nothing ever happens."""
        step = getattr(self, data.draw(st.sampled_from(self.possible_steps()), "step"))
        step(data, data.draw(crash_points, "dies after"))

    def possible_steps(self) -> list[str]:
        steps = ["publish", "publish", "let_time_pass", "reconcile", "look_at_leases", "outlast_leases"]
        if any(self.model.waiting(queue, self.now) for queue in QUEUES):
            steps += ["claim"] * 5
        if any(worker.held for worker in self.live):
            steps += ["settle", "settle", "settle", "release", "release", "hand_to_child", "kill_node"]
        if len(self.live) < MAX_NODES:
            steps += ["start_another", "start_another"]
        else:
            steps += ["close_node"]
        if self.fenced:
            steps += ["wake_up_too_late"]
        if self.dead_owners & {row.owner for row in self.model.rows.values()}:
            steps += ["look_at_leases"] * 3
        if self.model.dead:
            steps += ["look_after_dead_letters"]
        if len(self.model.rows) > 8:
            steps += ["purge"]
        return steps

    # -- what it looks like -------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.world.now()

    def picture(self) -> Picture:
        letters = self.broker.dead_letters(limit=10_000)
        ids = [f"id-{number}" for number in range(self.tokens + 1)]
        return Picture(
            rows=Counter(self.world.rows()),
            dead=Counter(self.token_of(letter.number) for letter in letters),
            results={task_id: (found.state, found.record) for task_id, found in self.results.get_many(ids).items()},
        )

    @invariant()
    def every_message_is_in_exactly_one_place(self) -> None:
        assert self.picture() == self.model.picture(self.now)

    @invariant()
    def depths_count_what_is_there(self) -> None:
        for depth in self.broker.depths(QUEUES):
            rows = [row for row in self.model.rows.values() if row.queue == depth.queue]
            waiting = [row for row in rows if row.owner == NOBODY]
            assert depth.claimed == len(rows) - len(waiting)
            assert depth.ready + depth.delayed == len(waiting)
            # What has become due may still count as delayed until somebody claims.
            assert depth.ready <= len(self.model.waiting(depth.queue, self.now))
            assert depth.dead == sum(1 for row in self.model.dead if row.queue == depth.queue)

    # -- doing something that may die on the way ----------------------------------------------------------------

    def attempt(self, crash, operation, expect, *, worker=None):
        """Do something to the broker and to the model; a death on the way leaves all of it or nothing."""
        after = self.model.copy()
        expect(after)
        try:
            with self.world.crash_after(crash):
                answer = operation()
        except ProcessDied:
            seen = self.picture()
            outcomes = [model for model in (self.model, after) if model.picture(self.now) == seen]
            assert outcomes, f"half of it took place: {seen}, not {self.model} and not {after}"
            self.model = outcomes[0]
            self.bury_worker(worker)
            return None
        self.model = after
        return answer

    def bury_worker(self, worker: Worker | None) -> None:
        if worker is not None:
            self.live.remove(worker)
            self.dead_owners.add(worker.owner)
            self.world.kill(worker.node)
            if not self.live:
                self.start_node(None)

    def new_token(self) -> str:
        self.tokens += 1
        return f"token-{self.tokens}"

    def new_message(self, data, task_id: str, *, queue=None, delay=0) -> Message:
        return Message(
            task_id=task_id,
            queue=queue or data.draw(st.sampled_from(QUEUES), "queue"),
            headers=b"{}",
            body=self.new_token().encode(),
            priority=data.draw(st.sampled_from(self.priorities), "priority"),
            eta_at=self.now + delay if delay else None,
        )

    # -- producers and people -----------------------------------------------------------------------------------

    def publish(self, data, crash) -> None:
        messages = []
        for _ in range(data.draw(st.integers(1, 4), "how many")):
            # Now and then an id that exists already: users may name their runs.
            task_id = f"id-{data.draw(st.integers(max(0, self.tokens - 1), self.tokens + 1), 'id')}"
            delay = data.draw(st.sampled_from([0, 0, 0, 7, 30]), "delay")
            messages.append(self.new_message(data, task_id, delay=delay))

        self.attempt(crash, lambda: publish(self.broker, *messages), lambda model: add(model, messages))

    def purge(self, data, crash) -> None:
        queue = data.draw(st.sampled_from(QUEUES), "queue")
        waiting = sum(1 for row in self.model.rows.values() if row.queue == queue and row.owner == NOBODY)

        purged = self.attempt(crash, lambda: self.broker.purge(queue), lambda model: model.purge(queue))

        assert purged in (None, waiting)

    def look_after_dead_letters(self, data, crash) -> None:
        chosen = self.choose_letters(data)
        discard = data.draw(st.booleans(), "discard")
        act = self.broker.discard if discard else self.broker.replay

        def expect(model):
            for number in sorted(chosen):
                (model.discard if discard else model.replay)(chosen[number])

        self.attempt(crash, lambda: act(sorted(chosen)), expect)

    def choose_letters(self, data) -> dict[int, str]:
        numbers = [letter.number for letter in self.broker.dead_letters(limit=10_000)]
        chosen = data.draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=3, unique=True), "letters")
        return {number: self.token_of(number) for number in chosen}

    def token_of(self, number: int) -> str:
        letter = self.broker.dead_letter(number)
        assert letter is not None
        assert letter.message is not None
        return letter.message.body.decode()

    def let_time_pass(self, data, crash) -> None:
        self.world.advance(data.draw(st.sampled_from([1.0, 5.0, 20.0, 3600.0]), "seconds"))
        for worker in self.live:
            worker.node.extend()

    # -- nodes: claims and what becomes of them -----------------------------------------------------------------

    def start_another(self, data, crash) -> None:
        self.start_node(crash)

    def start_node(self, crash) -> None:
        try:
            with self.world.crash_after(crash):
                node = self.world.node(self.broker, name="w1@host")
        except ProcessDied:
            return
        self.live.append(Worker(node, node.consumer.owner))

    def claim(self, data, crash) -> None:
        worker = self.a_live(data)
        limit = data.draw(st.integers(1, 5), "limit")
        answer_lost = data.draw(st.sampled_from([False, False, False, True]), "answer lost")
        queues = data.draw(st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a")]), "queues")
        owned_before = {row.token for row in self.model.owned_by(worker.owner)}
        try:
            with self.world.crash_after(crash):
                deliveries = worker.node.claim(*queues, limit=limit)
        except ProcessDied:
            seen = {row.token for row in self.world.rows() if row.owner == worker.owner} - owned_before
            if seen:
                taken = sorted(map(self.model.with_token, seen), key=lambda row: (row.priority, row.place))
                self.take(queues, limit, taken, worker.owner)
            self.bury_worker(worker)
            return
        taken = [self.model.with_token(delivery.message.body.decode()) for delivery in deliveries]
        self.take(queues, limit, taken, worker.owner)
        for delivery, row in zip(deliveries, taken, strict=True):
            assert (delivery.crashes, delivery.node_losses, delivery.releases) == (
                row.crashes,
                row.node_losses,
                row.releases,
            )
            if not answer_lost:
                worker.held.append(Held(delivery, row.place, row.claim))

    def take(self, queues, limit, taken: list[Row], owner: int) -> None:
        """Check that a claim took what it had to, and give it to its owner in the model."""
        available = {queue: self.model.waiting(queue, self.now) for queue in queues}
        assert len(taken) <= limit
        assert taken or not any(available.values())
        for queue in queues:
            of_queue = [row for row in taken if row.queue == queue]
            if self.keeps_places:
                assert of_queue == available[queue][: len(of_queue)]
            else:
                assert all(row in available[queue] for row in of_queue)
                priorities = [row.priority for row in available[queue]][: len(of_queue)]
                assert [row.priority for row in of_queue] == priorities
        for row in taken:
            self.model.take(row, owner)

    def hand_to_child(self, data, crash) -> None:
        self.start_children(*self.some_held(data))

    def settle(self, data, crash) -> None:
        worker, chosen = self.some_held_and_past(data)
        self.end_children(worker, chosen)
        settlements = [self.ending(data, one) for one in chosen]
        refused = [
            settlement
            for settlement, one in zip(settlements, chosen, strict=True)
            if self.model.claimed(one.place, one.claim) is None
        ]

        def expect(model):
            for settlement, one in zip(settlements, chosen, strict=True):
                apply(model, settlement, one)

        answer = self.attempt(
            crash, lambda: worker.node.settle(*settlements, results=self.results), expect, worker=worker
        )

        assert answer in (None, refused)
        worker.let_go(chosen)

    def release(self, data, crash) -> None:
        worker, chosen = self.some_held_and_past(data)
        cause = data.draw(st.sampled_from(ReleaseCause), "cause")
        delay = data.draw(st.sampled_from([None, 4.0, 30.0]), "delay")
        self.end_children(worker, chosen)
        eta_at = None if delay is None else self.now + delay

        def expect(model):
            for one in chosen:
                row = model.claimed(one.place, one.claim)
                if row is not None:
                    model.give_back(row, eta_at)
                    row.crashes += cause is ReleaseCause.CRASH
                    row.releases += cause is ReleaseCause.UNKNOWN_TASK

        deliveries = [one.delivery for one in chosen]
        self.attempt(crash, lambda: worker.node.release(*deliveries, eta_at=eta_at, cause=cause), expect, worker=worker)
        worker.let_go(chosen)

    def reconcile(self, data, crash) -> None:
        worker = self.a_live(data)
        known = {one.delivery.tag for one in worker.held}
        places = {one.place for one in worker.held}

        def expect(model):
            for row in model.owned_by(worker.owner):
                if row.place not in places:
                    model.give_back(row)

        self.attempt(crash, lambda: worker.node.reconcile(known), expect, worker=worker)

    # -- nodes: ends --------------------------------------------------------------------------------------------

    def kill_node(self, data, crash) -> None:
        worker = self.a_live(data)
        self.start_children(worker, worker.held[::2])
        self.bury_worker(worker)

    def close_node(self, data, crash) -> None:
        if len(self.live) < 2:
            return
        worker = self.a_live(data)
        self.end_children(worker, worker.held)

        def expect(model):
            for row in model.owned_by(worker.owner):
                model.give_back(row)

        self.attempt(crash, worker.node.close, expect, worker=worker)
        if worker in self.live:
            self.live.remove(worker)
            self.world.kill(worker.node)

    def look_at_leases(self, data, crash) -> None:
        """Look once: nobody who lives is found dead."""
        worker = self.a_live(data)
        try:
            with self.world.crash_after(crash):
                worker.node.recover()
        except ProcessDied:
            self.note_recovered(self.dead_owners)
            self.bury_worker(worker)
        else:
            self.note_recovered(self.dead_owners)

    def outlast_leases(self, data, crash) -> None:
        """Watch until everybody who does not extend was found dead: the killed, and one who merely slept."""
        watcher, *others = data.draw(st.permutations(self.live), "watcher and others")
        asleep = others.pop() if others and data.draw(st.booleans(), "somebody sleeps") else None
        if asleep is not None:
            self.dead_owners.add(asleep.owner)
        for _ in range(LEASE_OUTLASTED):
            self.world.advance(1.0)
            for worker in (watcher, *others):
                worker.node.extend()
            watcher.node.recover()
        self.note_recovered(self.dead_owners)
        assert not [row for owner in self.dead_owners for row in self.model.owned_by(owner)]
        if asleep is not None:
            self.live.remove(asleep)  # the watcher is another one
            self.fenced.append(asleep)

    def note_recovered(self, suspects: set[int]) -> None:
        """Take over into the model whose claims came back, all of an owner's or none."""
        held = {row.owner for row in self.world.rows()}
        for owner in suspects - held:
            self.model.lose_owner(owner)

    def wake_up_too_late(self, data, crash) -> None:
        """Let a node that slept past its lease send what it had: all of it is refused. Then it starts again."""
        worker = data.draw(st.sampled_from(self.fenced), "late node")
        self.fenced.remove(worker)
        settlements = [self.ending(data, one) for one in worker.held]

        refused = worker.node.settle(*settlements, results=self.results)
        worker.node.release(*(one.delivery for one in worker.held), cause=ReleaseCause.CRASH)

        assert refused == settlements
        assert worker.node.reconcile([]) == 0
        for call in (worker.node.extend, worker.node.claim):
            try:
                call()
            except LeaseLost:
                continue
            raise AssertionError(f"{call.__name__} went on without a lease")
        worker.let_go(worker.held)
        worker.node.open()
        worker.owner = worker.node.consumer.owner
        self.live.append(worker)

    # -- choosing -----------------------------------------------------------------------------------------------

    def a_live(self, data) -> Worker:
        return self.live[data.draw(st.integers(0, len(self.live) - 1), "node")]

    def some_held(self, data) -> tuple[Worker, list[Held]]:
        busy = [worker for worker in self.live if worker.held]
        worker = busy[data.draw(st.integers(0, len(busy) - 1), "node")]
        count = data.draw(st.integers(1, len(worker.held)), "how many")
        return worker, worker.held[:count]

    def some_held_and_past(self, data) -> tuple[Worker, list[Held]]:
        worker, chosen = self.some_held(data)
        if worker.past and data.draw(st.booleans(), "once more"):
            chosen = [data.draw(st.sampled_from(worker.past), "of the past"), *chosen]
        return worker, chosen

    def start_children(self, worker: Worker, some: list[Held]) -> None:
        for one in some:
            worker.node.consumer.note_started(one.delivery)
            row = self.model.claimed(one.place, one.claim)
            if row is not None:
                row.started = True

    def end_children(self, worker: Worker, some: list[Held]) -> None:
        for one in some:
            worker.node.consumer.note_ended(one.delivery)
            row = self.model.claimed(one.place, one.claim)
            if row is not None:
                row.started = False

    def ending(self, data, one: Held) -> Settlement:
        message = one.delivery.message
        match data.draw(st.sampled_from(ENDINGS), "ending"):
            case "success":
                result = a_result(message.task_id, SUCCESS, record=message.body)
                return Settlement(delivery=one.delivery, result=result)
            case "dead letter":
                result = a_result(message.task_id, FAILURE, record=message.body)
                return Settlement(delivery=one.delivery, result=result, dead_reason="poison")
            case ending:
                delay = 10 if ending == "later retry" else 0
                follow_up = self.new_message(data, message.task_id, queue=message.queue, delay=delay)
                result = a_result(message.task_id, RETRY, record=message.body)
                return Settlement(delivery=one.delivery, result=result, publish=(follow_up,))

    # -- the end ------------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        """Drain the store with one last node: nothing is parked where nobody would ever find it."""
        if not hasattr(self, "world"):
            return
        try:
            self.drain()
        finally:
            self.world.end()

    def drain(self) -> None:
        for worker in self.live:
            self.world.kill(worker.node)
        last = self.world.node(self.broker, name="last@host")
        self.world.advance(7200.0)
        self.world.outlast_lease(last)
        left = Counter(row.token for row in self.model.rows.values())
        drained = last.claim(*QUEUES, limit=10_000)
        assert Counter(delivery.message.body.decode() for delivery in drained) == left
        assert last.finish(*drained) == []
        assert self.world.rows() == []


def add(model: Model, messages) -> None:
    for message in messages:
        model.publish(message.body.decode(), message.task_id, message.queue, message.priority, message.eta_at)


def apply(model: Model, settlement: Settlement, one: Held) -> None:
    row = model.claimed(one.place, one.claim)
    if row is None:
        return
    if settlement.dead_reason is not None:
        model.bury(row)
    else:
        del model.rows[row.place]
    add(model, settlement.publish)
    assert settlement.result is not None
    model.record(settlement.result.task_id, settlement.result.state, settlement.result.record)
