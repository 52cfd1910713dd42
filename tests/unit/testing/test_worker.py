from __future__ import annotations

import logging
import os
import threading
import time
from pathlib import Path

import pytest

from celeriac import Celery, signals
from celeriac.app.current import app_or_default, kept_apps
from celeriac.exceptions import ImproperlyConfigured, SoftTimeLimitExceeded, TaskCancelled
from celeriac.testing import ManualClock, TestApp, assert_published, in_memory, published, start_worker
from celeriac.testing.tasks import PING, ping
from celeriac.testing.worker import test_worker_started, test_worker_starting, test_worker_stopped


@pytest.fixture(autouse=True)
def as_it_was():
    with kept_apps():
        yield


@pytest.fixture
def app():
    app = TestApp("shop")

    @app.task(name="shop.where")
    def where():
        return os.getpid(), threading.current_thread().name

    @app.task(name="shop.flaky", bind=True, max_retries=3)
    def flaky(self, times, delay=0):
        if self.request.retries < times:
            raise self.retry(countdown=delay)
        return self.request.retries

    @app.task(name="shop.meet")
    def meet():
        meeting.wait(60)
        return True

    meeting = threading.Barrier(3)
    return app


def test_bodies_run_in_threads_of_this_process(app):
    with start_worker(app, hostname="w1@here"):
        assert app.tasks["shop.where"].delay().get(timeout=60) == [os.getpid(), "w1@here MainProcess-1"]


def test_it_has_ended_when_the_block_has(app):
    with start_worker(app) as worker:
        pass

    assert not [thread.name for thread in threading.enumerate() if worker.hostname in thread.name]
    assert app.broker.owners() == []


@pytest.mark.parametrize("pool", ["threads", "asyncio"])
def test_several_run_at_once(app, pool):
    with start_worker(app, concurrency=3, pool=pool) as worker:
        results = [app.tasks["shop.meet"].delay() for _ in range(3)]

        assert [result.get(timeout=60) for result in results] == [True] * 3
        assert worker.concurrency == 3


def test_a_task_that_is_registered_later_is_known(app):
    with start_worker(app) as worker:
        late = app.task(name="shop.late")(lambda: "here")
        worker.reload()

        assert late.delay().get(timeout=60) == "here"


def test_coroutines_run_too(app):
    @app.task(name="shop.soon")
    async def soon(x):
        return x

    with start_worker(app):
        assert soon.delay(3).get(timeout=60) == 3


def test_retries_and_what_follows_are_among_what_was_published(app):
    with start_worker(app):
        result = app.tasks["shop.flaky"].apply_async((2,), link=app.signature("far.away"))
        assert result.get(timeout=60) == 2

    assert [one.retries for one in published(app, "shop.flaky")] == [0, 1, 2]
    assert_published(app, "far.away", 2)


def test_a_clock_makes_retries_of_tomorrow_happen_now():
    clock = ManualClock()
    app = TestApp("shop", clock=clock)
    ran = threading.Event()

    @app.task(name="shop.tomorrow", bind=True)
    def tomorrow(self):
        if not self.request.retries:
            raise self.retry(countdown=86_400)
        ran.set()

    with start_worker(app):
        result = tomorrow.delay()
        while result.state != "RETRY":
            time.sleep(0.005)
        clock.advance(86_400)
        assert ran.wait(60)


@pytest.mark.parametrize("pool", ["solo", "threads"])
def test_soft_limits_and_cancels_reach_the_body(app, pool):
    begun = threading.Event()
    told: list[type] = []

    @app.task(name="shop.waits", bind=True)
    def waits(self):
        begun.set()
        try:
            while True:
                time.sleep(0.005)
        except (SoftTimeLimitExceeded, TaskCancelled) as error:
            told.append(type(error))
            return type(error).__name__

    with start_worker(app, pool=pool):
        limited = waits.apply_async(soft_time_limit=0.1)
        assert limited.get(timeout=60) == "SoftTimeLimitExceeded"
        begun.clear()
        cancelled = waits.delay()
        assert begun.wait(60)
        cancelled.cancel(reason="enough")
        assert str(cancelled.get(timeout=60, propagate=False)).endswith("enough")
    assert told == [SoftTimeLimitExceeded, TaskCancelled]


def test_an_app_of_yours_is_worked_for_in_memory():
    app = Celery("shop", broker="redis://nobody:6379/0", set_as_current=False)
    double = app.task(name="shop.double")(lambda x: 2 * x)

    with in_memory(app), start_worker(app):
        assert double.delay(4).get(timeout=60) == 8
        assert_published(app, double, 4)


def test_it_consumes_the_queues_that_it_is_told(app):
    with start_worker(app, queues=["a", "b"], exclude_queues="a") as worker:
        here = app.send_task("shop.where", queue="b")
        app.send_task("shop.where", queue="a")
        here.get(timeout=60)

    assert worker.queues == ("b",)
    assert [depth.queue for depth in app.broker.depths() if depth.ready] == ["a"]


def test_a_worker_of_no_queue_is_refused(app):
    with pytest.raises(ImproperlyConfigured, match="no queue is left"), start_worker(app, exclude_queues=["celery"]):
        pass


def test_the_app_is_the_current_one_meanwhile(app):
    other = Celery("other")

    with start_worker(app):
        assert app_or_default() is app

    assert app_or_default() is other


def test_a_body_that_does_not_end_is_told_at_the_end(app):
    gate = threading.Event()
    app.task(name="shop.hangs")(lambda: gate.wait(30) and None)

    def meanwhile() -> None:
        with start_worker(app, shutdown_timeout=0.2):
            app.send_task("shop.hangs")
            wait_begun(app)

    with pytest.raises(RuntimeError, match=r"tasks of worker .* still run 0.2 s after its stop"):
        meanwhile()
    gate.set()

    assert [depth.ready for depth in app.broker.depths()] == [1], "it goes back to its queue"


def wait_begun(app) -> None:
    while not any(depth.claimed for depth in app.broker.depths()):
        time.sleep(0.005)


def test_what_it_cannot_open_is_raised_in_the_test(tmp_path: Path):
    app = TestApp(broker=f"sqlite:///{tmp_path}/missing/q.sqlite3")

    with pytest.raises(Exception, match="mkdir -p"), start_worker(app):
        pass


def test_without_results_there_is_no_ping(app):
    app.conf.result_backend = "disabled://"

    with start_worker(app):
        pass

    assert published(app) == []


def test_the_ping_is_the_current_apps(app):
    with start_worker(app):
        assert ping.delay().get(timeout=60) == "pong"


def test_the_ping_can_be_left_out(app):
    with start_worker(app, perform_ping_check=False):
        pass

    assert PING not in app.tasks


def test_records_go_where_the_program_has_them_go(app, caplog):
    caplog.set_level(logging.INFO)

    with start_worker(app):
        app.send_task("shop.where").get(timeout=60)

    assert any("shop.where" in record.getMessage() for record in caplog.records)


def test_a_log_of_its_own_is_written_when_asked_for(app, tmp_path: Path):
    with start_worker(app, loglevel="info", logfile=str(tmp_path / "w.log")):
        app.send_task("shop.where").get(timeout=60)

    assert "INFO/MainProcess] Task shop.where" in (tmp_path / "w.log").read_text()


def test_flags_that_switch_off_what_is_not_there_are_taken_and_others_not(app):
    with start_worker(app, without_heartbeat=True, without_mingle=True):
        pass
    with pytest.raises(TypeError, match="no argument 'prefetch'"), start_worker(app, prefetch=1):
        pass


def test_signals_of_nodes_are_sent_as_by_one(app):
    heard = []
    names = ("celeryd_init", "worker_init", "celeryd_after_setup", "worker_process_init", "worker_ready")
    receivers = []
    for name in (*names, "worker_shutdown"):
        signal = getattr(signals, name)
        receivers.append((signal, signal.connect(lambda name=name, **_: heard.append(name), weak=False)))
    after_setup = signals.celeryd_after_setup.connect(lambda instance, **_: instance.add_queue("more"), weak=False)
    try:
        with start_worker(app) as worker:
            app.send_task("shop.where", queue="more").get(timeout=60)
    finally:
        signals.celeryd_after_setup.disconnect(after_setup)
        for signal, receiver in receivers:
            signal.disconnect(receiver)

    assert sorted(heard) == sorted((*names, "worker_shutdown"))
    assert worker.queues == ("celery", "more")


def test_signals_tell_of_it(app):
    heard = []
    receivers = [
        (signal, signal.connect(lambda sender, name=name, **_: heard.append((name, sender)), weak=False))
        for name, signal in (
            ("starting", test_worker_starting),
            ("started", test_worker_started),
            ("stopped", test_worker_stopped),
        )
    ]
    try:
        with start_worker(app):
            pass
    finally:
        for signal, receiver in receivers:
            signal.disconnect(receiver)

    assert heard == [("starting", app), ("started", app), ("stopped", app)]


@pytest.mark.parametrize("engine", ["sqlite", "redis"])
def test_stores_that_are_not_in_memory_work_as_well(engine, tmp_path: Path, request: pytest.FixtureRequest):
    url = f"sqlite:///{tmp_path}/q.sqlite3" if engine == "sqlite" else f"{request.getfixturevalue('redis_url')}/9"
    app = TestApp(broker=url, backend=url)
    double = app.task(name="shop.double")(lambda x: 2 * x)

    with start_worker(app, queues=[f"q-{tmp_path.name}"]):
        assert double.apply_async((4,), queue=f"q-{tmp_path.name}").get(timeout=60) == 8
    app.close()


def test_processes_cannot_see_what_is_in_memory(app):
    worker = start_worker(app, pool="prefork")

    with pytest.raises(ImproperlyConfigured, match="pool 'prefork' runs tasks in other processes"), worker:
        pass


def test_processes_cannot_find_an_app_that_no_module_holds(tmp_path: Path):
    app = TestApp(broker=f"sqlite:///{tmp_path}/q.sqlite3", set_as_current=True)
    worker = start_worker(app, pool="prefork")

    with pytest.raises(ImproperlyConfigured, match=r"'celery\.tests' is no attribute of any module"), worker:
        pass


def test_other_pools_are_a_node_beside_this_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    module = "shop_of_the_worker_tests"
    (tmp_path / f"{module}.py").write_text(
        "import os\nfrom celeriac import Celery\n"
        f"app = Celery('shop', broker='sqlite:///{tmp_path}/q.sqlite3', set_as_current=False)\n"
        "pid = app.task(name='shop.pid')(lambda: os.getpid())\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    app = __import__(module).app

    with start_worker(app, pool="prefork", perform_ping_check=False):
        elsewhere = app.send_task("shop.pid").get(timeout=60)

    assert elsewhere != os.getpid()
    assert app.broker.owners() == []
