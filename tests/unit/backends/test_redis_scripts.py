"""The rules for keeping records, in Lua: the memory backend is the reference, and no record is misread."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import celeriac.brokers
from celeriac.backends.memory import MemoryBackend
from celeriac.states import FAILURE, RECEIVED, RETRY, REVOKED, STARTED, SUCCESS
from celeriac.testing.worlds import a_result
from celeriac.wire.forms import RecordForm
from celeriac.wire.results import write_record
from celeriac.wire.serializers import BUILT_IN, RAW, serializer_named
from celeriac.wire.told import told_state

FOLDER = Path(celeriac.brokers.__file__).parent / "redis" / "lua"
KEEP = (FOLDER / "results.lua").read_text()
STORE = (FOLDER / "store_results.lua").read_text().replace("-- include results\n", KEEP)
TOLD = KEEP + "\nreturn told_state(ARGV[1])"
KEPT_AS = KEEP + "\nlocal state, retries = kept_as(redis.call('GET', KEYS[1]), KEYS[2])\nreturn {state, retries}"

STATES = (SUCCESS, FAILURE, RETRY, REVOKED, STARTED, RECEIVED, "PROGRESS")
numbers = itertools.count(1)


@pytest.fixture
def client(redis_db):
    with redis.Redis.from_url(redis_db, protocol=2) as client:
        yield client


def keys_of(task_id):
    return [f"celery-task-meta-{task_id}", f"celeriac-attempt-{task_id}"]


def store(client, mode, results, *, lifetime_ms=60_000):
    keys = [key for one in results for key in keys_of(one.task_id)]
    rows = [(one.record, one.state, one.retries, lifetime_ms) for one in results]
    return client.eval(STORE, len(keys), *keys, mode, *itertools.chain(*rows))


def kept(client, task_id):
    record = client.get(keys_of(task_id)[0])
    if record is None:
        return None
    state, retries = client.eval(KEPT_AS, 2, *keys_of(task_id))
    return state.decode(), retries, record


def a_record(state, serializer="json", compression=None, **more):
    form = RecordForm(serializer=serializer_named(serializer), compression=compression)
    return write_record(task_id="id-1", state=state, result={"status": "no"}, date_done=None, form=form, **more)


def attempt_of(found):
    """Return what is kept of the attempt: nothing of a SUCCESS that tells itself."""
    needless = found.state == SUCCESS == told_state(found.record) and not found.record.startswith(b"\0")
    return 0 if needless else found.retries


RECORDS = st.one_of(st.binary(min_size=1, max_size=4), st.sampled_from(["json", "msgpack", "yaml", "pickle"]))


def with_record(state, kind, retries, task_id, compression):
    record = kind if isinstance(kind, bytes) else a_record(state, kind, compression)
    return a_result(task_id, state, record=record, retries=retries)


RESULTS = st.builds(
    with_record,
    st.sampled_from(STATES),
    RECORDS,
    st.integers(0, 3),
    st.sampled_from(["a", "b"]),
    st.sampled_from([None, "gzip"]),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["store", "once", "note"]), st.lists(RESULTS, max_size=3)), max_size=10))
def test_the_same_records_stand_as_in_memory(client, steps):
    client.flushall()
    memory = MemoryBackend(name=f"redis-scripts-{next(numbers)}")

    for mode, results in steps:
        store(client, mode, results)
        memory.note(results) if mode == "note" else memory.store(results, once=mode == "once")

        for task_id in "ab":
            found = memory.get(task_id)
            assert kept(client, task_id) == (found and (found.state, attempt_of(found), found.record))


@pytest.mark.parametrize("state", [*STATES, "half_done-2"])
@pytest.mark.parametrize("serializer", sorted({one.name for one in BUILT_IN} - {RAW.name}))
def test_a_record_tells_its_state_whatever_has_written_it(client, serializer, state):
    record = a_record(state, serializer, traceback="\nstatus: NO\n", children=[[["x", None], None]])

    assert client.eval(TOLD, 0, record) == state.encode()


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_tell_their_state(client, protocol):
    fields = {"status": FAILURE, "result": ValueError("boom"), "traceback": "status", "task_id": "id-1"}

    assert client.eval(TOLD, 0, pickle.dumps(fields, protocol)) == b"FAILURE"


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (b'{"status":"SUCCESS","result":5}', b"SUCCESS"),
        (b'{"task_id": "x", "result": {"status": "FAILURE"}, "status": "SUCCESS"}', b"SUCCESS"),
        (b'{"status": "\\u00e9\\"", "result": 5}', 'é"'.encode()),
        (b'{"result": "status: SUCCESS"}', None),
        (b'{"status": 5}', None),
        (b'{"status": null}', None),
        (b'["SUCCESS"]', None),
        (b'{"status', None),
        (b"\x81\xa6status", None),
        (b"\x80\x02}q\x00(X\x06\x00\x00\x00statusq\x01X", None),
        (b"\x80", None),
        (b"", None),
        (b"\0celery-compressed\0application/x-gzip\0\nstatus: SUCCESS\n", None),
    ],
)
def test_what_tells_no_state_is_not_taken_for_one(client, record, state):
    assert client.eval(TOLD, 0, record) == state


def test_a_first_attempt_that_tells_its_state_needs_no_second_key(client):
    store(client, "store", [a_result("a", record=a_record(SUCCESS))])

    assert client.keys() == [b"celery-task-meta-a"]


@pytest.mark.parametrize("retries", [0, 3])
def test_the_second_key_goes_when_the_run_has_returned(client, retries):
    store(client, "store", [a_result("a", RETRY, record=a_record(RETRY, compression="gzip"), retries=2)])
    before = len(client.keys())

    store(client, "store", [a_result("a", record=a_record(SUCCESS), retries=retries)])

    assert (before, client.keys()) == (2, [b"celery-task-meta-a"])


def test_both_keys_expire_together(client):
    store(client, "store", [a_result("a", FAILURE, record=a_record(FAILURE), retries=1)], lifetime_ms=50_000)

    assert all(0 < client.pttl(key) <= 50_000 for key in keys_of("a"))


def test_records_without_a_lifetime_stay(client):
    store(client, "store", [a_result("a", FAILURE, record=a_record(FAILURE), retries=1)], lifetime_ms=0)

    assert [client.pttl(key) for key in keys_of("a")] == [-1, -1]


def test_an_attempt_counts_only_for_the_record_that_it_was_kept_with(client):
    store(client, "store", [a_result("a", RETRY, record=a_record(RETRY), retries=7)])

    client.set("celery-task-meta-a", a_record(STARTED))  # as a stock worker does
    store(client, "note", [a_result("a", "PROGRESS", record=a_record("PROGRESS"), retries=0)])

    assert kept(client, "a")[0] == "PROGRESS"


def test_the_success_of_a_stock_worker_stands(client):
    client.set("celery-task-meta-a", a_record(SUCCESS, "pickle"), ex=60)  # as a stock worker does

    assert store(client, "store", [a_result("a", FAILURE, record=a_record(FAILURE), retries=3)]) == 0


def test_what_is_kept_is_published_under_the_name_of_its_key(client):
    with client.pubsub() as listening:
        listening.subscribe("celery-task-meta-a")
        store(client, "store", [a_result("a", record=a_record(SUCCESS)), a_result("a", FAILURE)])
        messages = [listening.get_message(timeout=1.0) for _ in range(3)]

    heard = [one["data"] for one in messages if one and one["type"] == "message"]
    assert heard == [a_record(SUCCESS)]


def test_a_record_is_kept_by_a_user_who_may_not_publish_it(client):
    client.execute_command("ACL", "SETUSER", "mute", "on", "nopass", "~*", "+@all", "resetchannels")
    url = client.get_connection_kwargs()
    with redis.Redis(host=url["host"], port=url["port"], username="mute", password="x") as mute:
        kept_now = store(mute, "store", [a_result("a", record=a_record(SUCCESS))])

    client.execute_command("ACL", "DELUSER", "mute")
    assert kept_now == 1
