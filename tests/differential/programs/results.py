from __future__ import annotations

import pickle

from observing import differs, make_app, program, raised, raised_text

from celeriac import states
from celeriac.exceptions import TimeoutError
from celeriac.result import AsyncResult, EagerResult, allow_join_result, result_from_tuple


def kept(app):
    """Return two tasks whose results are kept: one that returns, one that raises."""
    app.conf.task_store_eager_result = True

    @app.task
    def give(value):
        return value

    @app.task
    def fail(value):
        raise KeyError(value)

    return give, fail


@program()
def a_result_that_nobody_knows():
    app = make_app()
    result = app.AsyncResult("unknown-id")
    return {
        "state": [result.state, result.status],
        "result": [result.result, result.info, result.traceback],
        "ready": [result.ready(), result.successful(), result.failed()],
        "get": raised(result.get, timeout=0.05),
        "get is our TimeoutError": _is_timeout(result),
        "date_done": result.date_done,
        "id": [str(result), result.id, result.task_id],
        "repr": repr(result),
        "parent and children": [result.parent, result.children],
    }


def _is_timeout(result):
    try:
        result.get(timeout=0.05)
    except TimeoutError:
        return True
    return False


@program()
def a_result_of_a_success():
    app = make_app()
    give, _ = kept(app)
    result = app.AsyncResult(give.apply(({"a": [1, None, 2.5]},)).id)
    return {
        "state": [result.state, result.status],
        "result": [result.result, result.info, result.get(), result.wait()],
        "ready": [result.ready(), result.successful(), result.failed()],
        "traceback": result.traceback,
        "date_done": result.date_done,
        "maybe": [result.maybe_throw(), result.maybe_reraise()],
        "timeout": result.get(timeout=1),
    }


@program()
def a_result_of_a_failure():
    app = make_app()
    _, fail = kept(app)
    result = app.AsyncResult(fail.apply(("gone",)).id)
    return {
        "state": result.state,
        "result": [type(result.result).__name__, list(result.result.args)],
        "ready": [result.ready(), result.successful(), result.failed()],
        "get": raised_text(result.get),
        "quiet": type(result.get(propagate=False)).__name__,
        "maybe_throw": raised(result.maybe_throw),
        "traceback": ["KeyError" in result.traceback, result.traceback.splitlines()[0]],
    }


@program()
def a_callback_of_get():
    app = make_app()
    give, fail = kept(app)
    seen = []
    good = app.AsyncResult(give.apply((5,), task_id="good").id)
    bad = app.AsyncResult(fail.apply((5,), task_id="bad").id)
    value = good.get(callback=lambda task_id, value: seen.append([task_id, value]))
    quiet = bad.maybe_throw(propagate=False, callback=lambda task_id, value: seen.append([task_id, str(value)]))
    return {"value": value, "quiet": str(quiet), "seen": seen}


@program()
def results_are_equal_by_id():
    app = make_app()
    one, same, other = app.AsyncResult("a"), app.AsyncResult("a"), app.AsyncResult("b")
    return {
        "equal": [one == same, one == other, one == "a", one != other],
        "hash": len({one, same, other}),
        "text": [f"{one}", repr(one)],
        "compared with nothing": one == None,  # noqa: E711 - what happens is the question
    }


@program()
def results_as_tuples():
    app = make_app()
    result = app.AsyncResult("child", parent=app.AsyncResult("mother", parent=app.AsyncResult("grandmother")))
    back = result_from_tuple(result.as_tuple(), app=app)
    return {
        "tuple": result.as_tuple(),
        "list": result.as_list(),
        "back": [back.id, back.parent.id, back.parent.parent.id, type(back).__name__],
        "itself": result_from_tuple(result, app=app) is result,
        "alone": app.AsyncResult("alone").as_tuple(),
    }


@program()
def results_are_pickled():
    app = make_app()
    app.set_current()
    result = pickle.loads(pickle.dumps(app.AsyncResult("an-id")))
    return {"id": result.id, "state": result.state, "equal": result == app.AsyncResult("an-id")}


@program()
def results_are_forgotten():
    app = make_app()
    give, _ = kept(app)
    result = app.AsyncResult(give.apply((1,)).id)
    before = result.state
    result.forget()
    return {
        "before": before,
        "after": app.AsyncResult(result.id).state,
        "again": raised_text(app.AsyncResult(result.id).forget),
    }


@program()
def results_that_exist():
    app = make_app()
    give, _ = kept(app)
    return {"unknown": app.AsyncResult("unknown").exists(), "stored": app.AsyncResult(give.apply((1,)).id).exists()}


@program(
    differs(
        "direct call",
        celery="ValueError",
        ours="nothing; returned None",
        row="`update_state` raises in a task that is called directly",
    ),
)
def states_of_ones_own():
    app = make_app()

    @app.task(bind=True)
    def work(self):
        self.update_state(state="PROGRESS", meta={"done": 3, "of": 10})
        return

    work.update_state(task_id="an-id", state="PROGRESS", meta={"done": 5})
    result = app.AsyncResult("an-id")
    by_keyword = work.update_state("other-id", "WAITING")
    return {
        "state": result.state,
        "info": [result.info, result.result],
        "ready": [result.ready(), result.successful(), result.failed()],
        "others": [app.AsyncResult("other-id").state, app.AsyncResult("other-id").info, by_keyword],
        "get": raised(result.get, timeout=0.05),
        "direct call": raised(work),
    }


@program()
def states_of_ones_own_in_an_applied_task():
    app = make_app()
    seen = []

    @app.task(bind=True)
    def work(self):
        self.update_state(state="PROGRESS", meta={"done": 3})
        seen.append([app.AsyncResult(self.request.id).state, app.AsyncResult(self.request.id).info])
        return "finished"

    result = work.apply()
    return {"seen": seen, "state": result.state}


@program()
def waiting_inside_of_a_task():
    app = make_app()
    give, _ = kept(app)
    stored = give.apply((1,)).id

    @app.task
    def waits():
        return app.AsyncResult(stored).get(timeout=1)

    @app.task
    def may_wait():
        with allow_join_result():
            return app.AsyncResult(stored).get(timeout=1)

    @app.task
    def insists():
        return app.AsyncResult(stored).get(timeout=1, disable_sync_subtasks=False)

    @app.task
    def of_eager():
        return give.apply((2,)).get()

    return {
        "applied": [waits.apply().state, may_wait.apply().state, insists.apply().state, of_eager.apply().state],
        "direct": waits(),
    }


@program()
def results_of_a_task_class():
    app = make_app()

    @app.task
    def one():
        return 1

    result = one.AsyncResult("an-id")
    return {
        "class": [type(result).__name__, isinstance(result, AsyncResult)],
        "name": result.name,
        "app": result.app is app,
        "bare": [AsyncResult("an-id").id, AsyncResult("an-id", app=app).app is app],
        "eager": isinstance(one.apply(), (AsyncResult, EagerResult)),
    }


@program()
def a_bare_result_uses_the_current_app():
    one, other = make_app("one"), make_app("other")
    before = AsyncResult("an-id").app is other
    one.set_current()
    return {"other": before, "one": AsyncResult("an-id").app is one}


@program()
def eager_results_made_by_hand():
    good = EagerResult("an-id", 42, states.SUCCESS)
    bad = EagerResult("an-id", KeyError("x"), states.FAILURE, traceback="a traceback")
    retry = EagerResult("an-id", ValueError("again"), states.RETRY)
    return {
        "good": [good.get(), good.state, good.ready(), good.successful(), str(good), repr(good)],
        "bad": [raised_text(bad.get), bad.failed(), bad.traceback, raised(bad.get, propagate=True)],
        "retry": [retry.state, retry.ready(), retry.successful()],
        "tuple": good.as_tuple(),
    }


@program()
def without_a_result_backend():
    app = make_app()
    app.conf.result_backend = "disabled://"

    @app.task
    def one():
        return 1

    result = one.delay()
    return {
        "delay": type(result).__name__,
        "apply": one.apply().get(),
        "get": _not_implemented(result),
    }


def _not_implemented(result):
    try:
        result.get(timeout=0.1)
    except NotImplementedError:
        return True
    return False


@program()
def results_that_are_ignored():
    app = make_app()

    @app.task(ignore_result=True)
    def quiet():
        return 1

    @app.task
    def loud():
        return 1

    return {
        "ignored": [quiet.delay().ignored, loud.delay().ignored],
        "by call": [loud.apply_async(ignore_result=True).ignored, quiet.apply_async(ignore_result=False).ignored],
        "get": quiet.delay().get(timeout=0.1),
        "applied": [quiet.apply().state, quiet.apply().get()],
    }


@program()
def values_in_results_are_as_json_gives_them():
    app = make_app()
    give, _ = kept(app)

    def through(value):
        return app.AsyncResult(give.apply((value,)).id).get()

    return {
        "tuple": through((1, (2, 3))),
        "keys": through({1: "a", None: "b", 2.5: "c"}),
        "nested": through([{"a": (1,)}]),
        "text": through("Grüße 你好 \u0000 🎉"),
        "numbers": through([0, -1, 2**70, 1e300, 0.1]),
        "nothing": through(None),
    }


@program()
def then_and_the_callbacks_of_results():
    app = make_app()
    seen = []

    @app.task
    def one():
        return 1

    result = one.apply(task_id="an-id")
    result.then(lambda value: seen.append(value if isinstance(value, int) else value.get()))
    return {"seen": seen}
