"""The crawler's own smoke test."""

import time
from pathlib import Path

from celery import Task
from celery.result import EagerResult
from crawler import JOURNAL, DatabaseTask, JournalTask, app, fetch, index, purge, unreachable

assert issubclass(JournalTask, DatabaseTask) and isinstance(fetch, Task) and isinstance(fetch, JournalTask)
assert app.tasks["crawler.Index"].name == index.name == "crawler.Index"
assert (fetch.max_retries, unreachable.max_retries, fetch.default_retry_delay) == (2, 2, 0)

found = fetch.delay("https://example.org").get(timeout=20)
assert found == {"url": "https://example.org", "connections": 1, "host": True}, found
assert index.delay("b", "a", language="no").get(timeout=20) == {"pages": ["a", "b"], "language": "no"}
assert app.send_task("crawler.Purge", (95,)).get(timeout=20) == 9
try:
    unreachable.delay("https://example.com").get(timeout=20)
except OSError as error:
    assert error.args == ("https://example.com",)
else:
    raise AssertionError("it can be reached")

eager = index.apply(("z", "y"))
assert isinstance(eager, EagerResult) and eager.get() == {"pages": ["y", "z"], "language": "en"}
assert index("only") == {"pages": ["only"], "language": "en"} and purge.run(20) == 2

for _ in range(200):  # after_return comes after the result
    journal = Path(JOURNAL).read_text().splitlines()
    if "after crawler.unreachable FAILURE" in journal:
        break
    time.sleep(0.02)
assert [line for line in journal if "unreachable" in line] == [
    "before crawler.unreachable https://example.com",
    "retry crawler.unreachable 0",
    "before crawler.unreachable https://example.com",
    "retry crawler.unreachable 1",
    "before crawler.unreachable https://example.com",
    "failure crawler.unreachable OSError ExceptionInfo True",
    "after crawler.unreachable FAILURE",
], journal
assert journal[:3] == [
    "before crawler.fetch https://example.org",
    f"success crawler.fetch {found}",
    "after crawler.fetch SUCCESS",
], journal
