"""Who audits reads the journal: what the producer wrote, and what the worker did."""

import time
from pathlib import Path

from audited import JOURNAL, pay, try_twice

assert pay.delay(4).get(timeout=20) == 25
try:
    pay.delay(0).get(timeout=20)
except ZeroDivisionError:
    pass
assert try_twice.delay().get(timeout=20) == "done"

for _ in range(400):
    journal = Path(JOURNAL).read_text().splitlines()
    if "postrun audited.try_twice SUCCESS" in journal:
        break
    time.sleep(0.02)
assert "ready True" in journal and "after_setup_logger" not in journal, journal
assert journal.count("published audited.pay (4,) celery") == 1, journal
assert journal.count("published audited.pay (0,) celery") == 1, journal
assert journal.count("received audited.pay") == 2 and journal.count("received audited.try_twice") == 2, journal
told = [line for line in journal if not line.startswith(("published", "received", "ready"))]
assert told == [
    "prerun audited.pay acme True",
    "success audited.pay 25.0",
    "postrun audited.pay SUCCESS",
    "prerun audited.pay acme True",
    "failure audited.pay ZeroDivisionError('division by zero') True True",
    "postrun audited.pay FAILURE",
    "prerun audited.try_twice acme True",
    "retry audited.try_twice 0 True",
    "postrun audited.try_twice RETRY",
    "prerun audited.try_twice acme True",
    "success audited.try_twice done",
    "postrun audited.try_twice SUCCESS",
], told
