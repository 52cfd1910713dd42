"""Who waits for what: whatever comes and goes, everybody is given what there is, and nothing stays behind."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from celeriac.backends.base import StoredResult
from celeriac.backends.redis.interests import Interests, Waiter
from celeriac.states import SUCCESS

IDS = [f"id-{number}" for number in range(24)]
SOME = st.one_of(st.sets(st.sampled_from(IDS), min_size=1, max_size=3), st.sets(st.sampled_from(IDS), min_size=17))


class WaitersAndServer(RuleBasedStateMachine):
    """Do with interests what a subscriber does, beside a server of three sets."""

    @initialize()
    def begin(self):
        self.interests = Interests()
        self.subscribed: set[str] = set()
        self.kept: set[str] = set()
        self.waiters: list[Waiter] = []
        self.told: list[Waiter] = []

    def tell(self, waiters):
        for waiter in waiters:
            waiter.tell()

    def hear(self, ids):
        found = [StoredResult(task_id=one, state=SUCCESS, record=b"") for one in ids]
        self.tell(self.interests.hear(found))

    def send(self, new):
        """Unsubscribe, subscribe and look, as one write does."""
        self.subscribed -= self.interests.ended
        self.interests.ended.clear()
        self.subscribed |= new
        self.hear(new & self.kept)

    @rule(ids=SOME)
    def enter(self, ids):
        waiter = Waiter(ids, lambda: self.told.append(waiter))
        self.waiters.append(waiter)
        new = self.interests.enter(waiter)
        if waiter.found:
            waiter.tell()
        self.send(new)

    @rule(data=st.data())
    def leave(self, data):
        if self.waiters:
            waiter = self.waiters.pop(data.draw(st.integers(0, len(self.waiters) - 1)))
            self.interests.leave(waiter)

    @rule(ids=SOME)
    def publish(self, ids):
        self.kept |= ids
        self.hear(ids & self.subscribed)

    @rule(ids=SOME)
    def forget(self, ids):
        present = set().union(*(one.ids for one in self.waiters))
        gone = ids - present  # a waiter may have been given it before, which is as well
        self.kept -= gone
        self.interests.forget(gone)

    @rule()
    def some_time_passes(self):
        self.interests.lose_interest()
        self.send(set())

    @rule()
    def the_connection_is_lost(self):
        self.subscribed = set()
        self.send(self.interests.start_again())

    @invariant()
    def everybody_has_what_there_is_and_nothing_else(self):
        for waiter in self.waiters:
            assert waiter.found.keys() == waiter.ids & self.kept
            assert (waiter in self.told) == bool(waiter.found)

    @invariant()
    def all_that_is_awaited_is_listened_to(self):
        awaited = {one for waiter in self.waiters for one in waiter.ids - waiter.found.keys()}
        assert awaited <= self.interests.heard_of <= self.subscribed
        assert self.interests.awaited() == {one for waiter in self.waiters for one in waiter.ids}

    def teardown(self):
        for waiter in self.waiters:
            self.interests.leave(waiter)
        for _ in range(3):
            self.interests.lose_interest()
            self.send(set())

        assert self.subscribed == self.interests.heard_of == self.interests.awaited() == set()
        assert not self.interests.is_anybody_there()
        assert not self.interests._unclaimed


TestWaitersAndServer = WaitersAndServer.TestCase
