"""What a process and its forked child share of an app. Each test forks in a fresh interpreter, which has no threads."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

SCRIPT = """
import json, os, sqlite3, sys
from celeriac import Celery

app = Celery("shop", broker=sys.argv[1])

@app.task(name="shop.pay")
def pay(amount): ...

def origin():
    return json.loads(app.builder.build(pay, (0,), {}).headers)["origin"]

def origins():
    with sqlite3.connect(sys.argv[1].removeprefix("sqlite:///")) as database:
        rows = database.execute("SELECT headers FROM message ORDER BY id")
        return [json.loads(headers)["origin"] for headers, in rows]

pay.delay(1)
parents = origin()
reader, writer = os.pipe()
if os.fork() == 0:
    os.write(writer, json.dumps([pay.delay(2).id, os.getpid(), origin()]).encode())
    os._exit(0)
os.wait()
third = pay.delay(3)
print(json.dumps({"child": json.loads(os.read(reader, 1000)), "parent": [third.id, os.getpid(), parents],
                  "ready": sum(depth.ready for depth in app.broker.depths()),
                  "published": origins()}))
"""


@pytest.fixture
def told(tmp_path):
    command = [sys.executable, "-c", SCRIPT, f"sqlite:///{tmp_path}/shop.db"]
    return json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_both_can_send_after_the_fork(told):
    assert told["ready"] == 3
    assert told["child"][0] != told["parent"][0]


def test_messages_name_the_process_that_sent_them(told):
    for _, pid, origin in (told["child"], told["parent"]):
        assert origin.startswith(f"gen{pid}@")
    child, parent = told["child"][2], told["parent"][2]
    assert told["published"] == [parent, child, parent]
