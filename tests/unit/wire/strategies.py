"""What users pass to tasks, and what strangers put on the wire, as Hypothesis strategies."""

from __future__ import annotations

import json
from datetime import timedelta, timezone
from typing import Any

from hypothesis import strategies as st

OFFSETS = st.timedeltas(min_value=timedelta(hours=-23), max_value=timedelta(hours=23)).map(
    lambda offset: timezone(timedelta(minutes=offset // timedelta(minutes=1)))
)
ZONES = st.none() | OFFSETS

TEXT = st.text(max_size=7)
PLAIN_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT | st.integers(2**64, 2**200)
)
TAGGED = (
    st.datetimes(timezones=ZONES)
    | st.dates()
    | st.times(timezones=ZONES)
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.binary(max_size=8)
)


def nested(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Put scalars into lists and dicts. Their keys are too short for a dict to look like a tagged value."""
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
        max_leaves=5,
    )


ARGUMENTS = nested(PLAIN_SCALARS | TAGGED)
JSON_VALUES = nested(PLAIN_SCALARS)

HEADER_NAMES = st.sampled_from(
    [
        *("lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit", "root_id"),
        *("parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting", "stamps"),
        *("stamped_headers", "compression", "redelivered", "x-death", "args", "kwargs", "utc", "taskset", "callbacks"),
        *("errbacks", "chain", "chord", "status", "result", "traceback", "children", "date_done", "retries", "more"),
        *("body", "headers", "properties", "content-type", "content-encoding", "__type__", "__value__"),
    ]
)
# Values that often are of the wanted type, and otherwise anything; tagged values, good and bad, among them.
FIELD_VALUES = (
    st.sampled_from(["t", "2030-01-02T03:04:05", 1, True, None, [30, 20], [[1], {}, {}], "\ud800", -1, 2**70])
    | st.fixed_dictionaries(
        {
            "__type__": st.sampled_from(["datetime", "uuid", "base64", "decimal", "bytes", "time", "date", "no", 1]),
            "__value__": st.sampled_from(["2030-01-02", "x", {"hex": "12" * 16}, {"int": 5}, {"no": 1}, 5, "//4="]),
        }
    )
    | JSON_VALUES
)
FIELDS = st.dictionaries(HEADER_NAMES | TEXT, FIELD_VALUES, max_size=6)
FOREIGN_JSON = (FIELDS | JSON_VALUES | FIELD_VALUES).map(lambda value: json.dumps(value).encode())
"""JSON text that may be headers, a body, an envelope or a record, and mostly is slightly wrong."""

FOREIGN_BYTES = st.binary() | FOREIGN_JSON


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Cut a piece out of good bytes and put another one in."""
    start, end = sorted([draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))])
    return data[:start] + draw(st.binary(max_size=4)) + data[end:]
