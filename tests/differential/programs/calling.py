from __future__ import annotations

import json

from observing import differs, make_app, program, raised

from celeriac import Signature, maybe_signature, signature
from celeriac.canvas import Signature as CanvasSignature


@program()
def what_a_signature_is():
    app = make_app()

    @app.task
    def add(x, y):
        return x + y

    sig = add.s(1, y=2)
    return {
        "dict": dict(sig),
        "is": [isinstance(sig, dict), isinstance(sig, Signature), Signature is CanvasSignature],
        "properties": [sig.task, list(sig.args), sig.kwargs, sig.options, sig.immutable, sig.subtask_type, sig.name],
        "type": sig.type.name,
        "app": sig.app is app,
        "repr": [repr(sig), repr(add.s()), repr(add.si(1, 2)), str(sig)],
    }


@program()
def ways_to_make_a_signature():
    app = make_app()

    @app.task
    def add(x, y):
        return x + y

    ways = [
        add.s(1, 2),
        add.signature((1, 2)),
        add.subtask((1, 2)),
        signature(add, (1, 2)),
        signature("calling.add", (1, 2)),
        app.signature("calling.add", args=(1, 2)),
        maybe_signature(dict(add.s(1, 2)), app=app),
        Signature.from_dict(dict(add.s(1, 2)), app=app),
        signature(add.s(1, 2)),
    ]
    return {
        "tasks": [way.task for way in ways],
        "args": [list(way.args) for way in ways],
        "called": [way() for way in ways],
        "maybe nothing": maybe_signature(None),
        "options": add.signature((1,), {"y": 2}, countdown=10, queue="q").options,
        "immutable": [
            add.si(1).immutable,
            add.s(1, immutable=True).kwargs,
            add.signature((1,), immutable=True).immutable,
        ],
    }


@program()
def partial_arguments_come_first():
    app = make_app()

    @app.task
    def show(*args, **kwargs):
        return [list(args), kwargs]

    sig = show.s(3, 4, a=1)
    return {
        "called": sig(1, 2, b=2),
        "overridden": sig(a=9),
        "cloned": list(sig.clone((1, 2)).args),
        "kwargs": sig.clone((), {"a": 5, "c": 6}).kwargs,
        "applied": sig.apply((0,), {"z": 1}).get(),
        "unchanged": [list(sig.args), sig.kwargs],
        "delay": type(sig.delay(1)).__name__,
    }


@program()
def immutable_signatures():
    app = make_app()

    @app.task
    def show(*args, **kwargs):
        return [list(args), kwargs]

    sig = show.si(3)
    late = show.s(3)
    late.set_immutable(True)
    return {
        "called": [sig(1, 2), sig.apply((1,)).get(), late.apply((1,)).get()],
        "clone": [list(sig.clone((1,)).args), sig.clone((1,), countdown=3).options],
        "set": [show.s().set(immutable=True).immutable, late.immutable],
    }


@program()
def options_of_signatures():
    app = make_app()

    @app.task
    def one():
        return 1

    sig = one.s().set(queue="q", countdown=3)
    cloned = sig.clone(countdown=5, priority=1)
    return {
        "set": [sig.options, sig.set(expires=7).options],
        "clone": cloned.options,
        "original": sig.options,
        "replaced": list(sig.replace(args=(9,)).args),
        "chained": one.s().set(queue="a").set(queue="b").options,
    }


@program()
def callbacks_of_signatures():
    app = make_app()

    @app.task
    def one():
        return 1

    sig = one.s()
    callback, errback = one.si(), one.s(9)
    linked = sig.link(callback)
    sig.link(callback)
    sig.link_error(errback)
    chained = one.s().on_error(errback)
    return {
        "link": [link.task for link in sig.options["link"]],
        "once": len(sig.options["link"]),
        "returns": linked is callback,
        "errbacks": [list(link.args) for link in sig.options["link_error"]],
        "on_error": [chained.task, len(chained.options["link_error"])],
        "flat": len(sig.flatten_links()),
        "options of calls": [len(one.s().clone(link=[callback]).options["link"])],
    }


@program()
def signatures_through_json():
    app = make_app()

    @app.task
    def add(x, y):
        return x + y

    sig = add.signature((1,), {"y": 2}, countdown=3, link=[add.s(5)])
    back = signature(json.loads(json.dumps(sig)), app=app)
    return {
        "json": json.loads(json.dumps(sig)),
        "back": [back.task, list(back.args), back.kwargs, back.options["countdown"], back()],
        "link": back.options["link"][0]["task"],
        "equal": back == json.loads(json.dumps(sig)),
    }


@program()
def copies_of_signatures():
    app = make_app()

    @app.task
    def one(*args, **kwargs):
        return [list(args), kwargs]

    sig = one.s([1], a={"b": 1}).set(queue="q")
    clone = sig.clone()
    clone.kwargs["more"] = 1
    clone.options["queue"] = "r"
    return {
        "original": [sig(), sig.options],
        "clone": [clone(), clone.options],
        "class": type(clone).__name__,
        "equal": [sig == one.s([1], a={"b": 1}).set(queue="q"), sig == one.s(), sig == dict(sig)],
    }


@program()
def ids_of_signatures():
    app = make_app()

    @app.task
    def one():
        return 1

    sig = one.s()
    frozen = sig.freeze("an-id")
    given = one.s().set(task_id="mine")
    return {
        "before": one.s().id,
        "frozen": [type(frozen).__name__, frozen.id, sig.id, sig.options["task_id"]],
        "applied": sig.apply_async().id,
        "given": [given.id, given.apply_async().id],
        "again": sig.freeze().id,
    }


@program()
def signatures_in_eager_mode():
    app = make_app(task_always_eager=True)

    @app.task
    def add(x, y):
        return x + y

    @app.task
    def fail():
        raise KeyError("no")

    return {
        "delay": add.s(1).delay(2).get(),
        "inverted": ~add.s(1, 2),
        "apply_async": add.s(1).apply_async((2,), countdown=60).get(),
        "failure": raised(lambda: ~fail.s()),
        "by name": app.signature("calling.add").delay(1, 2).get(),
    }


@program()
def signatures_of_unknown_tasks():
    app = make_app()
    sig = app.signature("elsewhere.task", args=(1,))
    return {
        "repr": repr(sig),
        "sent": type(sig.apply_async()).__name__,
        "delay": type(sig.delay(2)).__name__,
        "called": raised(sig),
        "applied": raised(sig.apply),
        "type": raised(lambda: sig.type),
    }


@program()
def links_of_calls_in_eager_mode():
    app, seen = make_app(task_always_eager=True), []

    @app.task
    def double(x):
        return 2 * x

    @app.task(bind=True)
    def note(self, *args):
        seen.append([*args, self.request.parent_id])
        return args[0] if args else None

    double.apply_async((2,), link=note.s("a"), task_id="first")
    double.apply_async((3,), link=[note.s("b"), note.si("c")], task_id="second")
    double.apply_async((4,), link=note.s("d").set(link=note.s("e")), task_id="third")
    sig = double.s(5)
    sig.link(note.s("f"))
    sig.apply_async(task_id="fourth", link=note.s("g"))
    return {"seen": [one[:-1] for one in seen]}


@program()
def errbacks_of_calls_in_eager_mode():
    app, seen = make_app(task_always_eager=True), []

    @app.task
    def with_request(request, exc, traceback):
        seen.append([request.id, request.task, repr(exc), "ValueError" in str(traceback)])

    @app.task
    def with_more(extra, request, exc, traceback):
        seen.append([extra, request.id, repr(exc)])

    @app.task
    def with_id(task_id):
        seen.append(["by id", task_id])

    @app.task(bind=True)
    def bound(self, task_id):
        seen.append(["bound", task_id])

    @app.task
    def fail():
        raise ValueError("no")

    fail.apply_async(link_error=with_request.s(), task_id="first")
    fail.apply_async(link_error=with_more.s("extra"), task_id="second")
    fail.apply_async(link_error=with_id.s(), task_id="third")
    fail.apply_async(link_error=bound.s(), task_id="fourth")
    fail.s().on_error(with_request.s()).apply_async(task_id="fifth")
    return {"seen": seen}


@program()
def a_signature_of_the_running_task():
    app = make_app()

    @app.task(bind=True)
    def look(self, x, y=0):
        again = self.signature_from_request(self.request, args=(x + 1,), countdown=3)
        return [
            again.task,
            list(again.args),
            again.kwargs,
            again.options.get("task_id"),
            again.options.get("countdown"),
            again.options.get("retries"),
        ]

    return {"seen": look.apply((1,), {"y": 2}, task_id="an-id").get()}


@program()
def limits_that_contradict_each_other():
    app = make_app()

    @app.task(time_limit=5, soft_time_limit=10)
    def wrong():
        return 1

    @app.task(time_limit=10, soft_time_limit=5)
    def right():
        return 1

    return {
        "wrong": [raised(wrong.delay), raised(wrong.apply_async), raised(wrong.s().delay)],
        "right": type(right.delay()).__name__,
        "direct": wrong(),
        "applied": wrong.apply().get(),
    }


@program(
    differs(
        "in place",
        celery=["FAILURE", "RuntimeError"],
        ours=["SUCCESS", "nothing; returned 1"],
        row="a task that runs eagerly must not read",
    ),
)
def joining_inside_of_eager_mode():
    app = make_app(task_always_eager=True, task_store_eager_result=True)

    @app.task
    def inner():
        return 1

    stored = inner.delay().id

    @app.task
    def reads():
        return app.AsyncResult(stored).get(timeout=1)

    @app.task
    def of_eager():
        return inner.delay().get()

    return {
        "stored": [reads.delay().state, raised(reads.delay().get)],
        "in place": [of_eager.delay().state, raised(of_eager.delay().get)],
        "applied": reads.apply().state,
    }
