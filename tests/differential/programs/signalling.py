from __future__ import annotations

import gc

from observing import listening, make_app, program, raised

from celeriac import signals
from celeriac.exceptions import Ignore
from celeriac.utils.dispatch import Signal


def events_of(run):
    """Call a function; return the names of the signals of tasks, in their order, with who sent them."""
    seen = []
    names = [
        "task_prerun",
        "task_postrun",
        "task_success",
        "task_failure",
        "task_retry",
        "task_revoked",
        "task_rejected",
        "task_internal_error",
    ]
    receivers = []
    for name in names:

        def receive(sender=None, _name=name, **_):
            seen.append([_name, getattr(sender, "name", sender)])

        receivers.append(receive)
        getattr(signals, name).connect(receive, weak=False)
    run(seen)
    return seen


@program()
def signals_of_a_success():
    app = make_app()

    @app.task
    def add(x, y=0):
        return x + y

    with (
        listening(signals.task_prerun) as prerun,
        listening(signals.task_postrun, "task_id", "args", "kwargs", "retval", "state") as postrun,
        listening(signals.task_success, "result") as success,
        listening(signals.task_failure) as failure,
    ):
        add.apply((1,), {"y": 2}, task_id="an-id")
    return {"prerun": prerun, "postrun": postrun, "success": success, "failure": failure}


@program()
def signals_of_a_failure():
    app = make_app()

    @app.task
    def fail(x):
        raise ValueError("no")

    with (
        listening(signals.task_failure) as fields,
        listening(signals.task_failure, "task_id", "exception", "args", "kwargs") as failure,
        listening(signals.task_postrun, "retval", "state") as postrun,
        listening(signals.task_success) as success,
    ):
        fail.apply((1,), task_id="an-id")
    return {"fields": fields, "failure": failure, "postrun": postrun, "success": success}


@program()
def the_order_of_signals_and_hooks():
    app = make_app()

    def run(seen):
        class Hooked(app.Task):
            abstract = True

            def before_start(self, *args):
                seen.append("before_start")

            def on_success(self, *args):
                seen.append("on_success")

            def on_failure(self, *args):
                seen.append("on_failure")

            def on_retry(self, *args):
                seen.append("on_retry")

            def after_return(self, *args):
                seen.append("after_return")

        @app.task(base=Hooked)
        def fine():
            seen.append("body")

        @app.task(base=Hooked)
        def fail():
            raise KeyError

        @app.task(base=Hooked, bind=True)
        def again(self):
            if not self.request.retries:
                raise self.retry(countdown=0)

        @app.task(base=Hooked)
        def ignored():
            raise Ignore

        for task in (fine, fail, again, ignored):
            seen.append(f"--- {task.name}")
            task.apply()

    return {"seen": events_of(run)}


@program()
def receivers_of_one_sender():
    app, seen = make_app(), []

    @app.task
    def one():
        return 1

    @app.task
    def two():
        return 2

    @signals.task_prerun.connect(sender=one)
    def of_one(sender=None, task_id=None, **_):
        seen.append(["one", sender.name])

    @signals.task_prerun.connect
    def of_all(sender=None, **_):
        seen.append(["all", sender.name])

    one.apply(), two.apply()
    disconnected = signals.task_prerun.disconnect(of_all)
    one.apply(), two.apply()
    return {"seen": sorted(seen), "disconnected": disconnected, "decorated": of_one.__name__}


@program()
def receivers_that_are_forgotten():
    signal = Signal(name="own", providing_args={"value"})
    seen = []

    class Holder:
        def method(self, value=None, **_):
            seen.append(["method", value])

    def weak(value=None, **_):
        seen.append(["weak", value])

    def strong(value=None, **_):
        seen.append(["strong", value])

    holder = Holder()
    signal.connect(weak)
    signal.connect(strong, weak=False)
    signal.connect(holder.method)
    signal.send(sender="me", value=1)
    del weak, strong, holder
    gc.collect()
    signal.send(sender="me", value=2)
    return {"seen": seen}


@program()
def what_sending_returns():
    signal = Signal(name="own")
    seen = []

    def good(sender=None, **named):
        seen.append([sender, sorted(named)])
        return "good"

    def bad(**_):
        raise RuntimeError("bad receiver")

    signal.connect(good)
    signal.connect(bad)
    answers = signal.send(sender="me", x=1)
    nobody = Signal(name="nobody").send(sender=None)
    return {
        "answers": [[receiver.__name__, type(answer).__name__] for receiver, answer in answers],
        "seen": seen,
        "nobody": list(nobody),
        "no kwargs": raised(signal.connect, lambda: None),
    }


@program()
def receivers_are_connected_once():
    signal, seen = Signal(name="own"), []

    def first(**_):
        seen.append("first")

    def second(**_):
        seen.append("second")

    signal.connect(first)
    signal.connect(first)
    signal.connect(first, dispatch_uid="uid")
    signal.connect(second, dispatch_uid="uid")
    signal.send(sender=None)
    by_uid = signal.disconnect(dispatch_uid="uid")
    unknown = signal.disconnect(lambda **_: None)
    signal.send(sender=None)
    return {"seen": seen, "disconnected": [bool(by_uid), bool(unknown)], "receivers": len(signal.receivers)}


@program()
def receivers_that_raise_harm_no_task():
    app = make_app()

    @app.task
    def fine():
        return "fine"

    def bad(**_):
        raise RuntimeError("bad receiver")

    for name in ("task_prerun", "task_postrun", "task_success", "before_task_publish", "after_task_publish"):
        getattr(signals, name).connect(bad, weak=False)
    return {"applied": fine.apply().get(), "sent": type(fine.delay()).__name__}


@program()
def signals_that_there_are():
    names = [
        "after_setup_logger",
        "after_setup_task_logger",
        "after_task_publish",
        "beat_embedded_init",
        "beat_init",
        "before_task_publish",
        "celeryd_after_setup",
        "celeryd_init",
        "heartbeat_sent",
        "import_modules",
        "setup_logging",
        "task_failure",
        "task_internal_error",
        "task_postrun",
        "task_prerun",
        "task_received",
        "task_rejected",
        "task_retry",
        "task_revoked",
        "task_sent",
        "task_success",
        "task_unknown",
        "user_preload_options",
        "worker_before_create_process",
        "worker_init",
        "worker_process_init",
        "worker_process_shutdown",
        "worker_ready",
        "worker_shutdown",
        "worker_shutting_down",
        "eventlet_pool_started",
        "eventlet_pool_preshutdown",
        "eventlet_pool_postshutdown",
        "eventlet_pool_apply",
    ]
    return {
        "there": [name for name in names if isinstance(getattr(signals, name, None), Signal)],
        "fields": {
            name: set(getattr(signals, name).providing_args) - {"state"}
            for name in names
            if name.startswith("task_") and name != "task_sent"
        },
    }


@program()
def senders_that_are_instances():
    signal, seen = Signal(name="own"), []

    class Thing:
        pass

    one, other = Thing(), Thing()

    def of_one(sender=None, **_):
        seen.append("one")

    signal.connect(of_one, sender=one)
    signal.send(sender=one)
    signal.send(sender=other)
    signal.connect(of_one, sender="name")
    signal.send(sender="name")
    return {"seen": seen, "has": [signal.has_listeners(one), signal.has_listeners(other)]}
