from __future__ import annotations

import pickle

import pytest

from celeriac.states import ALL_STATES, FAILURE, SUCCESS
from celeriac.wire.forms import RecordForm
from celeriac.wire.results import write_record
from celeriac.wire.serializers import BUILT_IN, RAW, serializer_named
from celeriac.wire.told import told_state

WRITERS = sorted({one.name for one in BUILT_IN} - {RAW.name})


def a_record(state, serializer="json", compression=None):
    form = RecordForm(serializer=serializer_named(serializer), compression=compression)
    value = {"status": "no", "text": "\nstatus: NO\n"}
    return write_record(
        task_id="id-1", state=state, result=value, traceback="\nstatus: NO\n", date_done=None, form=form
    )


class Bomb:
    def __reduce__(self):
        return pytest.fail, ("it was unpickled",)


@pytest.mark.parametrize("compression", [None, "gzip", "bzip2", "lzma"])
@pytest.mark.parametrize("serializer", WRITERS)
@pytest.mark.parametrize("state", [*sorted(ALL_STATES), "PROGRESS", "half_done-2"])
def test_a_record_tells_its_state_whatever_has_written_it(state, serializer, compression):
    assert told_state(a_record(state, serializer, compression)) == state


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1)[2:])
def test_a_pickle_tells_its_state_without_being_loaded(protocol):
    assert told_state(pickle.dumps({"status": FAILURE, "result": Bomb()}, protocol)) == FAILURE


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (b'{"status":"SUCCESS","result":5,"traceback":5}', SUCCESS),
        (b'{"task_id": "x", "result": {"status": "FAILURE"}, "status": "SUCCESS"}', SUCCESS),
        (b'{"result": NaN, "status": "SUCCESS"}', SUCCESS),
        (b'{"status": "\\u00e9\\"", "result": 5}', 'é"'),
        (b'{"status": "SUCCESSFUL", "result": 5}', "SUCCESSFUL"),
    ],
)
def test_foreign_json_tells_its_state(record, state):
    assert told_state(record) == state


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"{}",
        b'{"status": 5}',
        b'{"status": null}',
        b'["SUCCESS"]',
        b'{"status',
        b'{"status": "\\',
        b'{"result": "status: SUCCESS"}',
        b'{"a":' * 100_000,
        b"\x81\xa6status",
        b"\x82\xa6status\x05",
        b"\x80",
        b"\x80\x04garbage",
        pickle.dumps(["status", 5, "SUCCESS"][:2]),
        b"\xff\xff",
        b"\0celery-compressed\0application/x-gzip\0\nstatus: SUCCESS\n",
        b"\0celery-compressed\0no/such\0status: SUCCESS\n",
        b" status: SUCCESS\n",
    ],
)
def test_what_tells_no_state_is_not_taken_for_one(record):
    assert told_state(record) is None
