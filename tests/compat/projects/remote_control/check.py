"""The checks of whoever is on call."""

import time

from celery.app.control import Control, Inspect, flatten_reply
from celery.result import AsyncResult
from fleet import add, app, wait

assert add.delay(1, 1).get(timeout=20) == 2
answers = app.control.ping(timeout=3)
assert len(answers) == 1, answers
(node,) = answers[0]
assert answers[0][node] == {"ok": "pong"} and flatten_reply(answers) == {node: {"ok": "pong"}}

inspect = app.control.inspect([node], timeout=3)
assert isinstance(app.control, Control) and isinstance(inspect, Inspect)
assert inspect.ping() == {node: {"ok": "pong"}}
assert {"fleet.add", "fleet.wait"} <= set(inspect.registered()[node])
stats = inspect.stats()[node]
assert stats["pool"]["max-concurrency"] == 2 and stats["total"]["fleet.add"] == 1, stats
assert [queue["name"] for queue in inspect.active_queues()[node]] == ["celery"]
assert inspect.conf(with_defaults=True)[node]["task_default_queue"] == "celery"
assert "clock" in inspect.clock()[node]

running = wait.delay(15)
for _ in range(200):
    active = inspect.active()[node]
    if active:
        break
    time.sleep(0.02)
assert [(run["id"], run["name"], run["args"]) for run in active] == [(running.id, "fleet.wait", [15])], active
app.control.revoke(running.id, terminate=True, signal="SIGKILL")
for _ in range(500):
    if AsyncResult(running.id, app=app).state == "REVOKED":
        break
    time.sleep(0.02)
assert running.state == "REVOKED", running.state
assert running.id in inspect.revoked()[node]

assert app.control.broadcast("remember", {"what": "this"}, destination=[node], reply=True, timeout=3) == [{node: {"ok": "remembered this"}}]
assert app.control.broadcast("seen_so_far", {"factor": 3}, destination=[node], reply=True, timeout=3) == [
    {node: {"seen": 3, "app": "fleet"}}
]
assert app.control.broadcast("forget", destination=[node], reply=True, timeout=3) == [{node: {"ok": "forgotten"}}]
assert app.control.rate_limit("fleet.add", "100/s", destination=[node], reply=True, timeout=3) == [
    {node: {"ok": "new rate limit set successfully"}}
]
assert app.control.add_consumer("extra", destination=[node], reply=True, timeout=3)[0][node]["ok"]
assert add.apply_async((2, 2), queue="extra").get(timeout=20) == 4
app.control.purge()
app.control.shutdown()
