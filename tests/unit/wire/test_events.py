from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.exceptions import DecodeError
from celeriac.wire.events import batch_of, fault_of, group_of, hours_west, made, notice_of, read_events, routing_key_of
from celeriac.wire.notices import Notice

ONLINE = made("worker-online", {"freq": 2.0}, hostname="w1@here", pid=1, clock=7, at=1000.5, utcoffset=-1.0)
STARTED = made("task-started", {"uuid": "id-1"}, hostname="w1@here", pid=1, clock=8, at=1001.5, utcoffset=-1.0)


def said(value: Any) -> Notice:
    return Notice(exchange="celeryev", routing_key="task.multi", body=json.dumps(value).encode())


def test_what_is_told_can_be_read():
    notice = notice_of([STARTED, STARTED], exchange="celeryev", hostname="w1@here")

    assert read_events(notice) == ([STARTED, STARTED], [])
    assert notice.routing_key == "task.multi"
    assert notice_of(ONLINE, exchange="celeryev", hostname="w1@here").routing_key == "worker.online"


def test_own_fields_win_and_the_time_may_be_among_them():
    event = made("shop-open", {"timestamp": 5.0, "clock": 3}, hostname="h", pid=1, clock=7, at=1.0, utcoffset=0.0)

    assert (event["timestamp"], event["clock"], event["type"]) == (5.0, 3, "shop-open")


def test_names_follow_from_types():
    assert (group_of("task-sent"), group_of("worker-elect-ack")) == ("task", "worker")
    assert routing_key_of("worker-elect-ack") == "worker.elect.ack"


def test_hours_are_counted_to_the_west(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert hours_west() == -5.5
    finally:
        monkeypatch.undo()
        time.tzset()


HOSTILE = {
    "no object": 7,
    "no type": {**STARTED, "type": None},
    "a type without group": {**STARTED, "type": "started"},
    "a type that is no word": {**STARTED, "type": "task-\x1b[2J"},
    "a long type": {**STARTED, "type": "task-" + "x" * 1000},
    "no hostname": {**STARTED, "hostname": ""},
    "a long hostname": {**STARTED, "hostname": "h" * 5000},
    "a text for time": {**STARTED, "timestamp": "now"},
    "an endless time": {**STARTED, "timestamp": 1e300},
    "True for time": {**STARTED, "timestamp": True},
    "a clock that would never be caught up": {**STARTED, "clock": 2**70},
    "a clock below zero": {**STARTED, "clock": -1},
    "an offset of a year": {**STARTED, "utcoffset": 9000},
    "no id": {**STARTED, "uuid": None},
    "a list for id": {**STARTED, "uuid": ["id-1"]},
    "a text for freq": {**ONLINE, "freq": "often"},
}


@pytest.mark.parametrize("event", HOSTILE.values(), ids=list(HOSTILE))
def test_what_is_no_event_is_left_out_and_its_neighbours_are_kept(event):
    events, faults = read_events(said([STARTED, event, ONLINE]))

    assert events == [STARTED, ONLINE]
    assert len(faults) == 1
    assert len(faults[0]) < 300


@pytest.mark.parametrize(
    "notice",
    [
        said([]).__class__(exchange="celeryev", body=b"{"),
        Notice(exchange="celeryev", body=pickle.dumps(STARTED), content_type="application/x-python-serialize"),
        Notice(exchange="celeryev", body=b"[" * 10_000),
    ],
    ids=["broken", "a pickle", "nested"],
)
def test_what_cannot_be_read_is_refused(notice):
    with pytest.raises(DecodeError):
        read_events(notice)


def test_events_that_are_json_already_become_one_list():
    texts = [json.dumps(STARTED), json.dumps(STARTED)]

    notice = batch_of(texts, exchange="celeryev", routing_key="task.multi", headers=b"{}")

    assert read_events(notice) == ([STARTED, STARTED], [])


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from([*STARTED, "freq", "percent"]), JSON_LIKE))
def test_nothing_that_may_be_said_breaks_the_check(event):
    assert fault_of(event) is None or len(str(fault_of(event))) < 300
