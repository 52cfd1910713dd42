"""A project that makes no app: its settings are in `celeryconfig.py`, and name the modules of its tasks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

FILES = {
    "celeryconfig.py": "broker_url = 'sqlite:///q.sqlite3'\nimports = ['orders']\n",
    "orders.py": """
from celeriac import current_app, shared_task

@shared_task
def pay(amount):
    return 2 * amount

@current_app.task
def refund(amount):
    return -amount
""",
    "ask.py": """
from orders import pay, refund

for task_id in ("paid", "refunded"):
    result = pay.AsyncResult(task_id)
    print(result.state, result.result)
""",
    "send.py": """
from orders import pay, refund

pay.apply_async((4,), task_id="paid")
refund.apply_async((4,), task_id="refunded")
""",
}


def test_a_worker_runs_the_tasks_of_a_project_that_makes_no_app(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)

    def run(*argv: str) -> str:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CELER")}
        done = subprocess.run(
            [sys.executable, *argv],
            cwd=tmp_path,
            env={**kept, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    run("send.py")
    run("-m", "celeriac", "worker", "--burst", "-c", "1")

    assert run("ask.py") == "SUCCESS 8\nSUCCESS -4\n"
