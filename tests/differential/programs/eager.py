from __future__ import annotations

from datetime import UTC, datetime

from observing import listening, make_app, program, raised, raised_text

from celeriac import Task
from celeriac.exceptions import Ignore, Reject


@program()
def apply_returns_a_finished_result():
    app = make_app()

    @app.task
    def add(x, y):
        return x + y

    result = add.apply((1, 2))
    return {
        "class": type(result).__name__,
        "get": result.get(),
        "wait": result.wait(),
        "state": [result.state, result.status],
        "result": [result.result, result.info],
        "ready": [result.ready(), result.successful(), result.failed()],
        "traceback": result.traceback,
        "id": result.id == result.task_id == str(result),
        "given id": add.apply((1, 2), task_id="mine").id,
        "name": result.name,
        "children": [result.children, result.parent],
        "timeout": result.get(timeout=0.1),
    }


@program()
def apply_keeps_the_exception_of_a_failure():
    app = make_app()

    @app.task
    def fail(text):
        raise KeyError(text)

    result = fail.apply(("gone",))
    return {
        "state": result.state,
        "result": result.result,
        "raised by get": raised_text(result.get),
        "not propagated": result.get(propagate=False),
        "traceback": [isinstance(result.traceback, str), "KeyError: 'gone'" in result.traceback],
        "ready": [result.ready(), result.successful(), result.failed()],
        "maybe_throw": raised(result.maybe_throw),
    }


@program()
def apply_may_throw_at_once():
    app = make_app(task_eager_propagates=True)
    quiet = make_app(task_eager_propagates=False)

    @app.task
    def fail():
        raise ValueError("at once")

    @quiet.task
    def fail_quietly():
        raise ValueError("later")

    return {
        "by setting": raised(fail.apply),
        "setting overruled": fail.apply(throw=False).state
        if raised(fail.apply, throw=False)[:7] == "nothing"
        else "raised",
        "quiet": fail_quietly.apply().state,
        "by argument": raised(fail_quietly.apply, throw=True),
        "delay is no apply": type(fail.delay()).__name__,
    }


@program()
def eager_mode_runs_what_is_sent():
    app = make_app(task_always_eager=True)
    ran = []

    @app.task(bind=True)
    def note(self, what):
        ran.append([what, self.request.is_eager, self.request.called_directly])
        return what

    results = [note.delay("delay"), note.apply_async(("apply_async",), countdown=60), note.s("signature").delay()]
    return {
        "ran": ran,
        "classes": [type(result).__name__ for result in results],
        "values": [result.get() for result in results],
        "id": note.apply_async(("id",), task_id="mine").id,
    }


@program()
def eager_mode_and_failures():
    app = make_app(task_always_eager=True)

    @app.task
    def fail():
        raise RuntimeError("in eager mode")

    quiet = fail.delay()
    app.conf.task_eager_propagates = True
    return {
        "quiet": [quiet.state, raised_text(quiet.get)],
        "propagated": raised_text(fail.delay),
        "apply_async": raised(fail.apply_async),
    }


@program()
def eager_mode_sends_arguments_through_the_serializer():
    app = make_app(task_always_eager=True)

    @app.task
    def kinds(*args, **kwargs):
        return [type(value).__name__ for value in (*args, *kwargs.values())]

    class Own:
        pass

    return {
        "delay": kinds.delay((1, 2), [3], {1: 2}, "x", b"y", datetime(2030, 1, 2, tzinfo=UTC), t=(3,)).get(),
        "apply": kinds.apply(((1, 2), [3], {1: 2}, "x", b"y")).get(),
        "keys": [list(value) for value in [_keys(app, {1: "a"})]],
        "cannot": raised(kinds.delay, Own()),
        "apply takes anything": kinds.apply((Own(),)).get(),
    }


def _keys(app, mapping):
    @app.task
    def keys_of(mapping):
        return list(mapping)

    return keys_of.delay(mapping).get()


@program()
def eager_mode_publishes_nothing():
    from celeriac.signals import after_task_publish, before_task_publish

    app = make_app(task_always_eager=True)

    @app.task
    def quiet():
        return 1

    with listening(before_task_publish) as before, listening(after_task_publish) as after:
        quiet.delay()
        quiet.apply()
    return {"before": before, "after": after}


@program()
def the_request_of_an_applied_task():
    app = make_app()
    seen = {}

    @app.task(bind=True)
    def look(self, x, y=0):
        request = self.request
        for field in [
            "args",
            "kwargs",
            "is_eager",
            "called_directly",
            "retries",
            "group",
            "chord",
            "chain",
            "root_id",
            "parent_id",
            "callbacks",
            "errbacks",
            "expires",
            "eta",
            "task",
            "reply_to",
            "correlation_id",
            "children",
            "delivery_info",
        ]:
            seen[field] = getattr(request, field, "none of that name")
        seen["id"] = request.id
        seen["hostname"] = request.hostname is not None
        return x

    look.apply((1,), {"y": 2}, task_id="an-id")
    return {"seen": seen}


@program()
def options_that_apply_hands_to_the_request():
    app = make_app()

    @app.task(bind=True)
    def look(self):
        request = self.request
        return [request.headers, request.retries, request.loglevel, request.delivery_info]

    return {
        "headers": look.apply(headers={"tenant": "acme"}).get()[0],
        "retries": look.apply(retries=2).get()[1],
        "loglevel": look.apply(loglevel=30).get()[2],
        "queue": look.apply(queue="q", routing_key="rk", exchange="ex", priority=4).get()[3],
    }


@program()
def applied_tasks_call_their_links():
    app = make_app(task_always_eager=True)
    seen = []

    @app.task
    def note(*args):
        seen.append(list(args))

    @app.task
    def double(x):
        return 2 * x

    @app.task
    def fail():
        raise ValueError("no")

    double.apply((2,), link=note.s("after"))
    double.apply((3,), link=[note.s("one"), note.si("two")])
    fail.apply(link=note.s("never"))
    return {"seen": seen}


@program()
def applied_tasks_call_their_errbacks():
    app = make_app()
    seen = []

    @app.task
    def new_style(request, exc, traceback):
        seen.append(["new", request.id, type(exc).__name__, str(exc), isinstance(traceback, str)])

    @app.task
    def fail():
        raise ValueError("no")

    @app.task
    def fine():
        return 1

    fail.apply(task_id="first", link_error=new_style.s())
    fail.apply(task_id="second", link_error=[new_style.s(), new_style.s()])
    fine.apply(task_id="third", link_error=new_style.s())
    return {"seen": seen}


@program()
def ignore_and_reject_when_applied():
    app = make_app()

    @app.task
    def ignored():
        raise Ignore

    @app.task(acks_late=True)
    def rejected():
        raise Reject("because", requeue=False)

    return {
        "ignore": [ignored.apply().state, ignored.apply().ready()],
        "reject": [rejected.apply().state, raised(rejected.apply().get)],
    }


@program()
def applied_inside_of_applied():
    app = make_app()

    @app.task(bind=True)
    def inner(self, depth):
        return [self.request.id, self.request.root_id, self.request.parent_id, depth]

    @app.task(bind=True)
    def outer(self):
        within = inner.apply((1,), task_id="inner").get()
        return [self.request.id, within, app.current_task.name]

    value = outer.apply(task_id="outer").get()
    return {"value": value, "afterwards": app.current_task}


@program()
def eager_results_may_be_stored():
    app = make_app(task_always_eager=True, task_store_eager_result=True)

    @app.task
    def add(x, y):
        return x + y

    @app.task
    def fail():
        raise KeyError("stored")

    @app.task(ignore_result=True)
    def unwanted():
        return 1

    done, failed = add.delay(1, 2), fail.delay()
    ignored = unwanted.delay()
    return {
        "value": [app.AsyncResult(done.id).state, app.AsyncResult(done.id).result],
        "failure": [app.AsyncResult(failed.id).state, type(app.AsyncResult(failed.id).result).__name__],
        "ignored": app.AsyncResult(ignored.id).state,
    }


@program()
def eager_results_are_not_stored_by_themselves():
    app = make_app(task_always_eager=True)

    @app.task
    def add(x, y):
        return x + y

    @app.task(store_eager_result=True)
    def kept():
        return "kept"

    return {"state": app.AsyncResult(add.delay(1, 2).id).state, "by option": app.AsyncResult(kept.delay().id).state}


@program()
def an_eager_result_can_be_revoked_and_forgotten():
    app = make_app()

    @app.task
    def one():
        return 1

    result = one.apply()
    forgotten = one.apply()
    forgotten.forget()
    result.revoke()
    return {
        "revoked": [result.state, raised(result.get)],
        "forgotten": forgotten.get(),
        "repr": repr(one.apply(task_id="an-id")),
    }


@program()
def apply_and_system_exit():
    app = make_app()

    @app.task
    def leave():
        raise SystemExit(3)

    @app.task
    def interrupted():
        raise KeyboardInterrupt

    def leave_it(task):
        try:
            return task.apply().state
        except BaseException as exc:
            return f"raised {type(exc).__name__}"

    return {"exit": leave_it(leave), "interrupt": leave_it(interrupted)}


@program()
def tasks_of_classes_when_applied():
    app = make_app()

    class Counter(Task):
        name = "counter"

        def __init__(self):
            self.count = 0

        def run(self, by=1):
            self.count += by
            return self.count

    counter = app.register_task(Counter())
    return {"counts": [counter.apply().get(), counter(2), counter.apply((3,)).get(), counter.count]}


@program()
def eager_mode_by_name():
    app = make_app(task_always_eager=True)

    @app.task(name="known")
    def known():
        return "ran"

    result = app.signature("known").apply_async()
    return {"signature": [type(result).__name__, result.get()], "apply": app.signature("known").apply().get()}


@program()
def limits_that_a_run_is_told():
    other = make_app(task_time_limit=60, task_soft_time_limit=50)

    def limits(self):
        return [self.request.time_limit, self.request.soft_time_limit]

    return {
        "of the settings": other.task(bind=True, name="a")(limits).apply().get(),
        "of the task": other.task(bind=True, name="b", time_limit=55)(limits).apply().get(),
        "none": make_app().task(bind=True, name="c")(limits).apply().get(),
    }


@program()
def stamps_that_a_run_is_told():
    app = make_app()

    @app.task(bind=True, name="stamped")
    def stamped(self):
        request = self.request
        return [sorted(request.stamped_headers or []), sorted((request.stamps or {}).items())]

    call = stamped.s()
    call.stamp(tenant="t1", places=["a", "b"])
    return {"stamped": call.apply().get(), "plain": stamped.s().apply().get()}
