from __future__ import annotations

from observing import differs, make_app, program

from celeriac import Celery, Task

ATTRIBUTES = [
    "acks_on_failure_or_timeout",
    "default_retry_delay",
    "expires",
    "ignore_result",
    "max_retries",
    "priority",
    "rate_limit",
    "reject_on_worker_lost",
    "resultrepr_maxsize",
    "send_events",
    "serializer",
    "soft_time_limit",
    "store_eager_result",
    "store_errors_even_if_ignored",
    "throws",
    "time_limit",
    "track_started",
    "trail",
    "typing",
]


@program()
def attributes_that_nobody_has_set():
    app = make_app()

    @app.task
    def plain():
        return 1

    return {name: getattr(plain, name, "none of that name") for name in ATTRIBUTES}


@program(
    differs("acks_late", celery=False, ours=True, row="acknowledges before the run"),
)
def acknowledging_late_or_early():
    app = make_app()

    @app.task
    def plain():
        return 1

    @app.task(acks_late=True)
    def late():
        return 1

    @app.task(acks_late=False)
    def early():
        return 1

    return {"acks_late": plain.acks_late, "asked for": [late.acks_late, early.acks_late]}


@program()
def options_become_attributes():
    app = make_app()

    @app.task(
        bind=True,
        max_retries=7,
        default_retry_delay=30,
        rate_limit="10/m",
        time_limit=60,
        soft_time_limit=50,
        ignore_result=True,
        serializer="json",
        throws=(KeyError,),
        track_started=True,
        expires=300,
        priority=4,
        send_events=False,
        trail=False,
    )
    def full(self):
        return self.max_retries

    names = [
        "max_retries",
        "default_retry_delay",
        "rate_limit",
        "time_limit",
        "soft_time_limit",
        "ignore_result",
        "serializer",
        "track_started",
        "expires",
        "priority",
        "send_events",
        "trail",
    ]
    return {
        **{name: getattr(full, name) for name in names},
        "throws": [one.__name__ for one in full.throws],
        "body sees them": full(),
        "can be changed": (setattr(full, "max_retries", 9), full())[1],
    }


@program()
def settings_are_what_tasks_fall_back_to():
    app = make_app(
        task_ignore_result=True,
        task_track_started=True,
        task_store_errors_even_if_ignored=True,
        task_default_rate_limit="5/s",
        task_serializer="msgpack",
        task_compression="gzip",
        task_default_priority=3,
        task_reject_on_worker_lost=True,
        task_acks_late=True,
        task_store_eager_result=True,
    )

    @app.task
    def follows():
        return 1

    @app.task(ignore_result=False, rate_limit="1/h", serializer="json", acks_late=False, priority=9)
    def own():
        return 1

    names = [
        "ignore_result",
        "track_started",
        "store_errors_even_if_ignored",
        "rate_limit",
        "serializer",
        "priority",
        "reject_on_worker_lost",
        "acks_late",
        "store_eager_result",
    ]
    return {name: [getattr(follows, name), getattr(own, name)] for name in names}


@program()
def settings_that_change_after_the_task_was_made():
    app = make_app()

    @app.task
    def early():
        return 1

    app.conf.task_ignore_result = True
    app.conf.task_default_rate_limit = "3/m"

    @app.task
    def late():
        return 1

    return {
        "before the first use": [early.ignore_result, early.rate_limit],
        "made later": [late.ignore_result, late.rate_limit],
    }


@program()
def a_base_class_gives_its_attributes():
    app = make_app()

    class Patient(Task):
        abstract = True
        max_retries = 20
        default_retry_delay = 5
        colour = "blue"

        def double(self, x):
            return 2 * x

    @app.task(base=Patient, bind=True, max_retries=3)
    def work(self, x):
        return [self.double(x), self.colour]

    @app.task(base=Patient)
    def other():
        return None

    return {
        "decorator wins": [work.max_retries, other.max_retries],
        "inherited": [work.default_retry_delay, other.colour],
        "called": work(4),
        "is one": [isinstance(work, Patient), isinstance(other, Patient)],
        "registered": "options.Patient" in app.tasks,
    }


@program()
def every_task_of_an_app_has_its_class():
    class Base(Task):
        abstract = True
        max_retries = 11

        def hello(self):
            return f"hello from {self.name}"

    app = Celery("shop", broker="memory://", task_cls=Base)

    @app.task(bind=True)
    def greet(self):
        return self.hello()

    class Other(app.Task):
        abstract = True
        default_retry_delay = 1

    @app.task(base=Other)
    def second():
        return None

    return {
        "greeting": greet(),
        "max_retries": greet.max_retries,
        "app.Task": issubclass(app.Task, Base),
        "through app.Task": [second.max_retries, second.default_retry_delay, second.hello()],
        "app of the class": app.Task.app is app,
    }


@program()
def annotations_by_name_and_for_all():
    app = make_app(
        task_annotations={
            "options.slow": {"rate_limit": "10/s", "max_retries": 1},
            "*": {"default_retry_delay": 2, "max_retries": 99},
        }
    )

    @app.task
    def slow():
        return 1

    @app.task(default_retry_delay=77)
    def fast():
        return 1

    app.finalize()
    return {
        "slow": [slow.rate_limit, slow.default_retry_delay, slow.max_retries],
        "fast": [fast.rate_limit, fast.default_retry_delay, fast.max_retries],
    }


@program()
def annotations_may_be_methods():
    seen = []

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        seen.append(["failure", self.name, str(exc)])

    def on_success(self, retval, task_id, args, kwargs):
        seen.append(["success", self.name, retval])

    app = make_app(task_annotations={"*": {"on_failure": on_failure}, "options.fine": {"on_success": on_success}})

    @app.task
    def fine():
        return "fine"

    @app.task
    def broken():
        raise ValueError("broken")

    fine.apply()
    broken.apply()
    return {"seen": seen}


@program()
def annotations_may_wrap_the_call():
    def wrapped(call):
        def around(self, *args, **kwargs):
            return ["wrapped", call(self, *args, **kwargs)]

        return around

    app = make_app(task_annotations={"options.inner": {"@__call__": wrapped}})

    @app.task
    def inner(x):
        return x

    return {"direct": inner(3), "applied": inner.apply((4,)).get()}


@program()
def annotations_may_be_objects():
    class OnlySlow:
        def annotate(self, task):
            if task.name.endswith("slow"):
                return {"rate_limit": "1/m"}
            return None

    class All:
        def annotate_any(self):
            return {"priority": 6}

    app = make_app(task_annotations=[OnlySlow(), {"options.quick": {"priority": 1}}, All()])

    @app.task
    def slow():
        return 1

    @app.task
    def quick():
        return 1

    app.finalize()
    return {"slow": [slow.rate_limit, slow.priority], "quick": [quick.rate_limit, quick.priority]}


@program()
def a_task_looks_like_its_function():
    app = make_app()

    @app.task
    def documented(a, b=2):
        """Say what it does."""
        return a + b

    @app.task(bind=True)
    def bound(self, a):
        return a

    return {
        "doc": documented.__doc__,
        "name": documented.__name__,
        "wrapped": documented.__wrapped__(1),
        "run": documented.run(1, b=5),
        "bound run": bound.run(3),
        "is a task": isinstance(documented, Task),
        "repr": repr(documented).replace(" at 0x", "|").split("|")[0].rstrip(">"),
        "app": documented.app is app,
    }


@program(
    differs(
        "misspelled",
        celery="kept as an attribute: 5",
        ours="TypeError",
        row="an unknown setting, task option or call option is ignored",
    ),
)
def options_of_ones_own():
    app = make_app()

    class Base(Task):
        abstract = True
        team = "nobody"

    @app.task(base=Base)
    def plain():
        return 1

    def misspelled():
        @app.task(max_retrys=5)
        def odd():
            return 1

        return f"kept as an attribute: {odd.max_retrys}"

    try:
        found = misspelled()
    except Exception as exc:
        found = type(exc).__name__
    plain.team = "ours"
    return {"misspelled": found, "own attribute": plain.team, "on the class": Base.team}


@program()
def a_task_that_is_used_before_its_app_is_finished():
    app = Celery("shop", broker="memory://", autofinalize=True)

    @app.task
    def lazy(x):
        return x * 2

    before = app.finalized
    value = lazy(2)
    return {"finalized before": before, "value": value, "name": lazy.name}


@program()
def a_task_without_laziness():
    app = make_app()

    @app.task(lazy=False)
    def eager(x):
        return x

    @app.task(shared=False)
    def private():
        return 1

    return {"value": eager(1), "registered at once": "options.eager" in app.tasks, "private": private()}


@program()
def a_filter_takes_the_function_first():
    app = make_app()

    def twice(task):
        task.times = 2
        return task

    @app.task(filter=twice)
    def counted():
        return "counted"

    return {"value": counted(), "times": counted.times}
