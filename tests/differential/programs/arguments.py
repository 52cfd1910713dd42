from __future__ import annotations

from observing import make_app, program, raised

from celeriac import Celery, shared_task


@program()
def arguments_are_checked_when_the_call_is_made():
    app = make_app()

    @app.task
    def add(x, y, z=0):
        return x + y + z

    return {
        "too few": raised(add.delay, 1),
        "too many": raised(add.delay, 1, 2, 3, 4),
        "unknown name": raised(add.delay, 1, 2, q=3),
        "given twice": raised(add.delay, 1, 2, x=3),
        "by name": type(add.delay(x=1, y=2)).__name__,
        "apply_async": raised(add.apply_async, (1,)),
        "signature": raised(add.s(1).delay),
        "signature completed": type(add.s(1).delay(2)).__name__,
    }


@program()
def a_bound_task_does_not_count_itself():
    app = make_app()

    @app.task(bind=True)
    def bound(self, x):
        return x

    return {
        "right": type(bound.delay(1)).__name__,
        "too few": raised(bound.delay),
        "too many": raised(bound.delay, 1, 2),
        "self by name": raised(bound.delay, 1, self=2),
    }


@program()
def all_kinds_of_parameters():
    app = make_app()

    @app.task
    def kinds(a, /, b, *rest, c, d=4, **more):
        return [a, b, list(rest), c, d, more]

    return {
        "direct": kinds(1, 2, 3, c=5, e=6),
        "applied": kinds.apply((1, 2, 3), {"c": 5, "e": 6}).get(),
        "without keyword": raised(kinds.delay, 1, 2),
        "right": type(kinds.delay(1, b=2, c=3)).__name__,
    }


@program()
def a_task_may_ask_not_to_be_checked():
    app = make_app()

    @app.task(typing=False)
    def loose(x):
        return x

    relaxed = Celery("relaxed", broker="memory://", strict_typing=False)

    @relaxed.task
    def also_loose(x):
        return x

    @relaxed.task(typing=True)
    def strict(x):
        return x

    return {
        "task": type(loose.delay(1, 2, 3)).__name__,
        "app": type(also_loose.delay()).__name__,
        "task of that app": raised(strict.delay),
        "typing": [loose.typing, also_loose.typing, strict.typing],
        "when it runs": loose.apply((1, 2, 3)).state,
    }


@program()
def what_is_no_list_of_arguments():
    app = make_app()

    @app.task
    def one(x=None):
        return x

    @app.task
    def many(*args, **kwargs):
        return [list(args), kwargs]

    return {
        "text": raised(one.apply_async, "a"),
        "number": raised(one.apply_async, 5),
        "kwargs as list": raised(one.apply_async, (), [1]),
        "none": type(one.apply_async(None, None)).__name__,
        "list": type(one.apply_async([1])).__name__,
        "direct": many(1, a=2),
    }


@program()
def shared_tasks_are_checked_too():
    make_app()

    @shared_task
    def add(x, y):
        return x + y

    return {"too few": raised(add.delay, 1), "right": type(add.delay(1, 2)).__name__, "direct": add(1, 2)}


@program()
def direct_calls_are_checked_by_python():
    app = make_app()

    @app.task
    def add(x, y):
        return x + y

    return {
        "too few": raised(add, 1),
        "applied too few": add.apply((1,)).state,
        "what it raised": type(add.apply((1,)).result).__name__,
        "right": add(1, y=2),
    }
