from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from celeriac.cli.session import Session
from celeriac.cli.worker import node_options, worker
from celeriac.worker.options import NodeOptions

CELERIAC = [sys.executable, "-m", "celeriac"]

TASKS = """
from celeriac.app.application import Celery

app = Celery("shop")


@app.task(name="shop.pay")
def pay(amount):
    return amount
"""


def parsed(*args, session=None):
    """Return what a node would be started with."""
    with worker.make_context("worker", list(args), obj=session or Session()) as context:
        return node_options(context.obj, context.params)


def test_without_options_everything_is_left_to_the_app():
    assert parsed() == NodeOptions()


@pytest.mark.parametrize(
    ("args", "field", "value"),
    [
        (["-A", "shop.tasks:app"], "app", "shop.tasks:app"),
        (["--workdir", "/srv"], "workdir", "/srv"),
        (["-n", "w1@%h"], "node_name", "w1@%h"),
        (["-Q", "mail, slow,"], "queues", ("mail", "slow")),
        (["-X", "mail"], "exclude_queues", ("mail",)),
        (["-c", "8"], "concurrency", 8),
        (["--autoscale", "10,2"], "autoscale", (10, 2)),
        (["--autoscale=2, 10"], "autoscale", (10, 2)),
        (["--autoscale=3"], "autoscale", (3, 0)),
        (["-P", "prefork"], "pool", "prefork"),
        (["-P", "processes"], "pool", "prefork"),
        (["-P", "celery.concurrency.thread:TaskPool"], "pool", "threads"),
        (["-P", "shop.pools:Mine"], "pool", "shop.pools:Mine"),
        (["--pool=solo"], "pool", "solo"),
        (["-l", "info"], "loglevel", "INFO"),
        (["-lFatal"], "loglevel", "CRITICAL"),
        (["-f", "w.log"], "logfile", "w.log"),
        (["-Ofair"], "dispatch", "fair"),
        (["-O", "default"], "dispatch", "default"),
        (["-O", "adaptive"], "dispatch", "adaptive"),
        (["-Oshop.dispatching:Own"], "dispatch", "shop.dispatching:Own"),
        (["--prefetch-multiplier", "0"], "prefetch_multiplier", 0),
        (["--stop-grace", "2.5"], "stop_grace", 2.5),
        (["-I", "a,b.c"], "include", ("a", "b.c")),
        (["--processes", "4"], "processes", 4),
        (["--burst"], "burst", True),
        (["--purge"], "purge", True),
        (["--discard"], "purge", True),
        (["-q"], "quiet", True),
        (["-C"], "color", False),
        (["--color"], "color", True),
    ],
)
def test_an_option_is_handed_to_the_node(args, field, value):
    assert getattr(parsed(*args), field) == value


def test_urls_and_settings_override_those_of_the_app():
    options = parsed(
        "-b", "memory://x", "--result-backend", "memory://y", "task_acks_late=false", "timezone=Asia/Tokyo"
    )

    assert options.settings == {
        "broker_url": "memory://x",
        "result_backend": "memory://y",
        "task_acks_late": False,
        "timezone": "Asia/Tokyo",
    }


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (["--time-limit=300"], "task_time_limit", 300.0),
        (["--soft-time-limit", "2.5"], "task_soft_time_limit", 2.5),
        (["--max-tasks-per-child", "128"], "worker_max_tasks_per_child", 128),
        (["--maxtasksperchild=128"], "worker_max_tasks_per_child", 128),
        (["--max-memory-per-child", "200000"], "worker_max_memory_per_child", 200_000),
        (["--pool-start-method", "spawn"], "worker_pool_start_method", "spawn"),
        (["--pidfile=/run/%n.pid"], "worker_pidfile", "/run/%n.pid"),
        (["--umask", "027"], "worker_umask", "027"),
        (["--disable-prefetch"], "worker_disable_prefetch", True),
        (["-c", "auto"], "worker_concurrency", None),
    ],
)
def test_a_flag_that_says_what_a_setting_says_overrides_it(args, name, value):
    assert parsed(*args).settings == {name: value}


def test_an_assignment_wins_over_a_flag():
    options = parsed("--max-tasks-per-child", "5", "worker_max_tasks_per_child=6")

    assert options.settings == {"worker_max_tasks_per_child": 6}


# As they stand in files of supervisord that were written for Celery 3.
OLD_COMMAND_LINES = (
    "-n w1_shop -c 4 -Ofair -l INFO  --maxtasksperchild=128",
    "-Q push -n w1_shop_consumer -l INFO -c 4 --maxtasksperchild=128",
    "-A shop --loglevel=info --without-gossip --without-mingle --statedb=/var/run/w.state",
    "--app=shop -Q high,low --concurrency=2 -Ofair --soft-time-limit=60 --time-limit=90 --no-execv",
)


@pytest.mark.parametrize("line", OLD_COMMAND_LINES)
def test_command_lines_that_were_written_for_celery_are_understood(line):
    assert isinstance(parsed(*line.split()), NodeOptions)


@pytest.mark.parametrize("text", ["True", "true"])
def test_settings_are_spelled_as_in_python_or_json(text):
    assert parsed(f"task_track_started={text}").settings == {"task_track_started": True}


def test_a_setting_that_is_text_keeps_what_looks_like_a_number():
    assert parsed("task_default_queue=7").settings == {"task_default_queue": "7"}


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["task_defualt_queue=x"], "did you mean 'task_default_queue'?"),
        (["worker_prefetch_multiplier=-1"], "worker_prefetch_multiplier must be a whole number >= 0"),
        (["worker_prefetch_multiplier=-1"], "got -1"),
        (["shop"], "unexpected argument 'shop'; settings are given as name=value"),
        (["-c", "0"], "a whole number >= 1 or 'auto' is needed, got '0'"),
        (["-P", "gevent"], "the pool 'gevent' comes with a later version"),
        (["-P", "fork"], "there is no pool 'fork'; there are prefork, threads, asyncio, solo"),
        (["-l", "loud"], "'loud' is not one of"),
        (["--stop-grace", "nan"], "a number of seconds >= 0 is needed, got 'nan'"),
        (["--json"], "No such option"),
        (["-Q", ""], "-Q names no queue"),
        (["-Q", "a,b", "-X", "b,a,c"], "-X leaves out every queue that -Q names: a, b"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error(command, args, complaint):
    run = command("worker", *args)

    assert run.code == 2
    assert complaint in run.err


def test_json_before_the_command_is_a_usage_error_too(command):
    run = command("--json", "worker")

    assert run.code == 2
    assert "a worker writes no data" in run.err


def test_a_worker_that_was_started_runs_what_is_called(tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    environment = {**os.environ, "CELERIAC_BROKER_URL": f"sqlite:///{tmp_path}/q.sqlite3"}

    def celeriac(*args):
        return subprocess.run(
            [*CELERIAC, *args], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    node = subprocess.Popen(
        [*CELERIAC, "worker", "-c", "1", "-l", "info"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    assert node.stderr is not None
    with node:
        try:
            ready = any(line.endswith("ready.\n") for line in node.stderr)
            task_id = celeriac("call", "shop.pay", "-a", "[12]").stdout.strip()
            paid = celeriac("result", task_id, "--timeout", "30")
        finally:
            node.send_signal(signal.SIGTERM)
            node.communicate(timeout=60)

    assert ready
    assert (paid.returncode, paid.stdout) == (0, "12\n")
    assert node.returncode == 0
