"""A nightly run."""

import time
from pathlib import Path

from celery import chain, chord, chunks, group, signature
from celery.exceptions import ChordError
from celery.result import GroupResult, ResultSet
from etl.celery import app
from etl.extract import clean, double, pipeline, read, read_all, sources, table
from etl.load import add, alarm, merge, refuse, store

FAILURES = Path("failures.txt")

one = pipeline("north").delay()
assert one.get(timeout=20) == {"name": "north", "rows": [1, 2, 3], "sum": 6}
assert one.parent.get(timeout=20) == [1, 2, 3] and one.parent.parent.get(timeout=20) == [3, 1, 2]

tables = group(pipeline(name) for name in ("north", "south", "west")).apply_async()
assert isinstance(tables, GroupResult)
assert [each["sum"] for each in tables.get(timeout=20)] == [6, 30, 0]
assert tables.successful() and tables.completed_count() == 3
tables.save()
assert GroupResult.restore(tables.id, app=app).get(timeout=20) == tables.get(timeout=20)

night = chord((pipeline(name) for name in ("north", "south", "west")), merge.s() | store.s(into="warehouse"))
assert night.delay().get(timeout=20) == {"into": "warehouse", "total": 36, "sources": 3}

upgraded = chain(group(read.s("north"), read.s("south")), clean.map([[2, 1], [4, 3]]).set(immutable=True))
assert upgraded.delay().get(timeout=20) == [[1, 2], [3, 4]]
assert (sources.s() | read_all.s() | merge.s() | store.s(into="lake")).delay().get(timeout=20)["total"] == 36

assert double.map([1, 2, 3]).delay().get(timeout=20) == [2, 4, 6]
assert add.starmap(zip(range(3), range(3), strict=True)).delay().get(timeout=20) == [0, 2, 4]
assert add.chunks(zip(range(6), range(6), strict=True), 2)().get(timeout=20) == [[0, 2], [4, 6], [8, 10]]
assert isinstance(add.chunks([(1, 2)], 1), chunks)

failed = chord([read.s("north"), chain(read.s("south"), refuse.s())], merge.s()).apply_async()
try:
    failed.get(timeout=20)
except (ChordError, ValueError) as error:
    assert "cannot load 2 rows" in str(error), error
else:
    raise AssertionError("a chord with a failed header has a result")

chain(read.s("south"), refuse.s().on_error(alarm.s()), store.s()).delay()
for _ in range(500):
    if FAILURES.exists() and FAILURES.read_text():
        break
    time.sleep(0.02)
assert FAILURES.read_text() == "etl.load.refuse ValueError('cannot load 2 rows')\n"

stored = signature("etl.load.store", args=({"a": 1},), kwargs={"into": "x"}, app=app)
assert stored.delay().get(timeout=20) == {"into": "x", "total": 1, "sources": 1}
assert ResultSet([double.delay(1), double.delay(2)]).join(timeout=20) == [2, 4]
assert table.s([1], "t").freeze().id
assert str(add.s(1, 2)) == "etl.load.add(1, 2)"
