"""The memory backend is the reference: whatever is stored in whatever order, the others come to the same records."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from celeriac.backends.memory import MemoryBackend
from celeriac.backends.sqlite import SqliteBackend
from celeriac.states import FAILURE, RETRY, REVOKED, STARTED, SUCCESS
from celeriac.testing.clock import ManualClock
from celeriac.testing.worlds import a_result
from tests.unit.backends.test_redis_conformance import RedisResults

numbers = itertools.count(1)

IDS = ("a", "b")
RESULTS = st.builds(
    a_result,
    st.sampled_from(IDS),
    st.sampled_from([SUCCESS, FAILURE, RETRY, REVOKED, STARTED, "PROGRESS"]),
    record=st.binary(min_size=1, max_size=4),
    retries=st.integers(0, 3),
)
STEPS = st.one_of(
    st.tuples(st.sampled_from(["store", "once", "note"]), st.lists(RESULTS, max_size=3)),
    st.tuples(st.just("forget"), st.lists(st.sampled_from(IDS), max_size=2)),
    st.tuples(st.just("advance"), st.sampled_from([30.0, 61.0, 3601.0])),
    st.tuples(st.just("expire"), st.none()),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(STEPS, max_size=12),
    expires=st.sampled_from([3600.0, 60.0, None, 0]),
    failure_expires=st.sampled_from([3600.0, 60.0, None, 0]),
)
def test_all_backends_come_to_the_same_records(redis_db, steps, expires, failure_expires):
    clock = ManualClock()
    redis = RedisResults(redis_db, global_keyprefix=f"agreement-{next(numbers)}")
    with tempfile.TemporaryDirectory() as folder:
        lifetimes = {"expires": expires, "failure_expires": failure_expires}
        backends = (
            MemoryBackend(name=f"agreement-{next(numbers)}", clock=clock, **lifetimes),
            SqliteBackend(Path(folder) / "results.sqlite3", clock=clock, **lifetimes),
            redis.backend(**lifetimes),
        )
        for kind, given_ in steps:
            if kind == "advance":
                clock.advance(given_)
                redis.advance(given_)
                continue
            for backend in backends:
                match kind:
                    case "store" | "once":
                        backend.store(given_, once=kind == "once")
                    case "note" | "forget":
                        getattr(backend, kind)(given_)
                    case "expire":
                        backend.expire()

            kept = [backend.get_many(IDS) for backend in backends]
            assert kept[0] == kept[1]
            assert kept[0] == kept[2]
        backends[1].close()
        redis.end()
