"""Every call of a tenant is the tenant's, whichever way it goes."""

import time
from pathlib import Path

from celery import chain, chord, group
from hooked import JOURNAL, app, seen, tenant, timeout

TELLING = ["acme"] * 3


def got(result):
    return result.get(timeout=20)


tenant.set("acme")
assert app.conf.ONCE == app.conf.once == {"timeout": 5}
assert app.conf.task_tenant_databases == ("default",)
assert got(timeout.delay()) == 5
assert got(seen.delay()) == TELLING
assert got(seen.apply_async((), once={"graceful": True})) == TELLING
assert got(app.send_task("hooked.seen")) == ["acme", None, "acme"]
assert got(chain(seen.s(), seen.s(), seen.s()).delay()) == TELLING
assert got(group(seen.s(), seen.s()).delay()) == [TELLING] * 2
assert got(chord([seen.s(), seen.s()], seen.s()).delay()) == TELLING

first = seen.apply_async(link=seen.s())
assert got(first) == got(first.children[0]) == TELLING

for _ in range(250):  # a signal may come after the result
    journal = Path(JOURNAL).read_text().splitlines()
    if journal.count("success hooked.seen") == 13:
        break
    time.sleep(0.02)
assert journal.count("success hooked.seen") == 13, journal
assert journal.count("received True hooked.seen None") == 13, journal
published = [line for line in journal if line.endswith("hooked.seen") and line.startswith("after")]
announced = [line for line in journal if line.startswith("before hooked.seen")]
assert announced == ["before hooked.seen celery direct"] * 13, announced
assert len(published) == 13, published
