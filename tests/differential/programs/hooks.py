from __future__ import annotations

import contextlib
import io

from observing import differs, make_app, program, raised

from celeriac import Task
from celeriac.exceptions import Ignore


def recorder(seen):
    class Recorder(Task):
        abstract = True

        def before_start(self, task_id, args, kwargs):
            seen.append(["before_start", task_id, list(args), kwargs])

        def on_success(self, retval, task_id, args, kwargs):
            seen.append(["on_success", retval, task_id, list(args), kwargs])

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            seen.append(["on_failure", repr(exc), task_id, list(args), kwargs, type(einfo).__name__])

        def on_retry(self, exc, task_id, args, kwargs, einfo):
            seen.append(["on_retry", repr(exc), task_id, list(args), kwargs, type(einfo).__name__])

        def after_return(self, status, retval, task_id, args, kwargs, einfo):
            seen.append(["after_return", status, repr(retval), task_id, list(args), kwargs])

    return Recorder


@program()
def hooks_of_a_success():
    app, seen = make_app(), []

    @app.task(base=recorder(seen))
    def add(x, y=0):
        seen.append(["body", x, y])
        return x + y

    add.apply((1,), {"y": 2}, task_id="an-id")
    return {"seen": seen}


@program()
def hooks_of_a_failure():
    app, seen = make_app(), []

    @app.task(base=recorder(seen))
    def fail(x):
        raise ValueError(x)

    fail.apply((1,), task_id="an-id")
    return {"seen": seen}


@program()
def hooks_of_retries():
    app, seen = make_app(), []

    @app.task(base=recorder(seen), bind=True, max_retries=2, default_retry_delay=0)
    def stubborn(self, x):
        try:
            raise KeyError(x)
        except KeyError as exc:
            raise self.retry(exc=exc)

    result = stubborn.apply((1,), task_id="an-id")
    return {"seen": seen, "state": result.state, "result": result.result}


@program()
def hooks_of_a_retry_that_succeeds():
    app, seen = make_app(), []

    @app.task(base=recorder(seen), bind=True)
    def second_time(self):
        if not self.request.retries:
            raise self.retry(countdown=0)
        return self.request.retries

    result = second_time.apply(task_id="an-id")
    return {"seen": [one[:1] + one[3:] if one[0] == "on_retry" else one for one in seen], "value": result.get()}


@program()
def hooks_are_not_run_by_direct_calls():
    app, seen = make_app(), []

    @app.task(base=recorder(seen))
    def add(x, y):
        return x + y

    return {"value": add(1, 2), "seen": seen}


@program()
def the_custom_task_of_the_survey():
    app = make_app()

    class CustomTask(Task):
        def on_success(self, retval, task_id, args, kwargs):
            print("异步任务成功")
            return super(CustomTask, self).on_success(retval, task_id, args, kwargs)  # noqa: UP008 - as it is written

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            print("异步任务失败", exc)
            return super(CustomTask, self).on_failure(exc, task_id, args, kwargs, einfo)  # noqa: UP008

        def after_return(self, status, retval, task_id, args, kwargs, einfo):
            print(retval)
            return super(CustomTask, self).after_return(status, retval, task_id, args, kwargs, einfo)  # noqa: UP008

    @app.task(base=CustomTask)
    def send_email():
        print("开始执行发送邮件异步任务")
        return {"message": "成功"}

    @app.task(base=CustomTask)
    def send_wrongly():
        raise ValueError("没有收件人")

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        send_email.apply()
        send_wrongly.apply()
    return {"printed": out.getvalue().splitlines()}


@program()
def what_einfo_knows():
    app, seen = make_app(), []

    class Looks(Task):
        abstract = True

        def on_failure(self, exc, task_id, args, kwargs, einfo):
            seen.append(
                [
                    einfo.type.__name__,
                    isinstance(einfo.traceback, str),
                    einfo.traceback.strip().splitlines()[0],
                    einfo.traceback.strip().splitlines()[-1],
                    str(einfo) == einfo.traceback,
                ]
            )

    @app.task(base=Looks)
    def fail():
        raise ValueError("look at me")

    fail.apply()
    return {"seen": seen}


@program(
    differs("after a failure", celery="NoneType", ours="ExceptionInfo", row="`after_return` never gets the `einfo`"),
)
def what_after_return_is_told():
    app, seen = make_app(), []

    class Told(Task):
        abstract = True

        def after_return(self, status, retval, task_id, args, kwargs, einfo):
            seen.append(type(einfo).__name__)

    @app.task(base=Told)
    def divide(x, y):
        return x / y

    divide.apply((1, 2))
    divide.apply((1, 0))
    return {"after a success": seen[0], "after a failure": seen[1]}


@program()
def a_hook_that_raises():
    app, seen = make_app(), []

    class Clumsy(Task):
        abstract = True

        def on_success(self, retval, task_id, args, kwargs):
            seen.append("on_success")
            raise RuntimeError("clumsy")

        def after_return(self, status, retval, task_id, args, kwargs, einfo):
            seen.append(f"after_return {status}")

    @app.task(base=Clumsy)
    def fine():
        return 1

    return {"raised": raised(fine.apply), "seen": seen}


@program()
def before_start_may_refuse():
    app, seen = make_app(), []

    class Guarded(recorder(seen)):
        abstract = True

        def before_start(self, task_id, args, kwargs):
            if not args:
                raise PermissionError("nobody asked")

    @app.task(base=Guarded)
    def guarded(*args):
        seen.append("body")

    return {
        "refused": [guarded.apply(task_id="one").state, type(guarded.apply(task_id="two").result).__name__],
        "let in": guarded.apply((1,), task_id="three").state,
        "seen": seen,
    }


@program()
def hooks_of_an_ignored_run():
    app, seen = make_app(), []

    @app.task(base=recorder(seen))
    def ignored():
        seen.append("body")
        raise Ignore

    return {"state": ignored.apply(task_id="an-id").state, "seen": seen}


@program()
def a_mixin_beside_the_task_class():
    app, seen = make_app(), []

    class Timed:
        def on_success(self, retval, task_id, args, kwargs):
            seen.append("Timed")
            super().on_success(retval, task_id, args, kwargs)

    class Logged(Task):
        abstract = True

        def on_success(self, retval, task_id, args, kwargs):
            seen.append("Logged")
            super().on_success(retval, task_id, args, kwargs)

    class Both(Timed, Logged):
        abstract = True

    @app.task(base=Both)
    def fine():
        return 1

    fine.apply()
    return {"seen": seen}


@program()
def a_task_class_may_wrap_the_call():
    app, seen = make_app(), []

    class Wrapped(Task):
        abstract = True

        def __call__(self, *args, **kwargs):
            seen.append(["before", self.request.called_directly])
            value = super().__call__(*args, **kwargs)
            seen.append("after")
            return value

    @app.task(base=Wrapped)
    def body(x):
        seen.append("body")
        return x

    return {"applied": body.apply((1,)).get(), "direct": body(2), "seen": seen}


@program()
def a_class_is_made_once_and_keeps_what_it_has():
    app, made = make_app(), []

    class Connected(Task):
        abstract = True
        _connection = None

        @property
        def connection(self):
            if self._connection is None:
                made.append("connection")
                self._connection = object()
            return self._connection

    @app.task(base=Connected, bind=True)
    def first(self):
        return self.connection is self.connection

    @app.task(base=Connected, bind=True)
    def second(self):
        return self.connection is not None

    first.apply(), first.apply(), second.apply()
    return {"made": made, "same": first.apply().get()}


@program()
def a_task_is_told_its_app():
    app, seen = make_app(), []

    class Bound(Task):
        abstract = True

        @classmethod
        def on_bound(cls, bound_to):
            seen.append(bound_to is app)

    @app.task(base=Bound)
    def one():
        return 1

    return {"value": one(), "seen": seen}


@program()
def hooks_see_the_request():
    app, seen = make_app(), []

    class Looking(Task):
        abstract = True

        def before_start(self, task_id, args, kwargs):
            seen.append(["before_start", self.request.id, self.request.called_directly])

        def on_success(self, retval, task_id, args, kwargs):
            seen.append(["on_success", self.request.id, list(self.request.args)])

        def after_return(self, status, retval, task_id, args, kwargs, einfo):
            seen.append(["after_return", self.request.id, self.request.retries])

    @app.task(base=Looking)
    def look(x):
        return x

    look.apply((1,), task_id="an-id")
    return {"seen": seen}
