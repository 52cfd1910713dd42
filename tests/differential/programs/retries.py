from __future__ import annotations

import pickle

from observing import listening, make_app, program, raised, raised_text

from celeriac import Task
from celeriac.exceptions import MaxRetriesExceededError, Retry
from celeriac.signals import task_retry


def delays(task, *args, **kwargs):
    """Apply a task; return the delays of its retries, and how it ended."""
    waits = []

    def note(sender=None, reason=None, **_):
        waits.append(reason.when)

    task_retry.connect(note, weak=False)
    result = task.apply(args, kwargs)
    task_retry.disconnect(note)
    return [waits, result.state, result.result]


@program()
def retries_until_it_works():
    app = make_app()

    @app.task(bind=True, max_retries=5)
    def third_time(self):
        if self.request.retries < 2:
            raise self.retry(countdown=0)
        return self.request.retries

    return {"value": third_time.apply().get(), "delays": delays(third_time)}


@program()
def retries_are_limited():
    app = make_app()

    @app.task(bind=True)
    def default(self):
        raise self.retry(countdown=0)

    @app.task(bind=True, max_retries=1)
    def once(self):
        raise self.retry(exc=KeyError("last"), countdown=0)

    @app.task(bind=True, max_retries=0)
    def never(self):
        raise self.retry(countdown=0)

    gave_up = default.apply(task_id="an-id")
    return {
        "default": [gave_up.state, type(gave_up.result).__name__, str(gave_up.result)],
        "carries": [list(gave_up.result.task_args), gave_up.result.task_kwargs],
        "the last error": [once.apply().result, len(delays(once)[0])],
        "never": [type(never.apply().result).__name__, len(delays(never)[0])],
    }


@program()
def retries_without_a_limit():
    app = make_app()

    @app.task(bind=True, max_retries=None)
    def patient(self):
        if self.request.retries < 12:
            raise self.retry(countdown=0)
        return self.request.retries

    return {"value": patient.apply().get()}


@program()
def a_limit_for_one_retry():
    app = make_app()

    @app.task(bind=True, max_retries=10)
    def strict(self):
        raise self.retry(exc=KeyError("strict"), countdown=0, max_retries=1)

    @app.task(bind=True, max_retries=0)
    def generous(self):
        if self.request.retries < 2:
            raise self.retry(countdown=0, max_retries=3)
        return self.request.retries

    return {"strict": delays(strict), "generous": delays(generous)}


@program()
def when_a_retry_runs():
    app = make_app()

    @app.task(bind=True, max_retries=1, default_retry_delay=30)
    def by_default(self):
        raise self.retry(exc=KeyError("x"))

    @app.task(bind=True, max_retries=1)
    def untouched(self):
        raise self.retry(exc=KeyError("x"))

    @app.task(bind=True, max_retries=1)
    def asked(self):
        raise self.retry(exc=KeyError("x"), countdown=7)

    return {"by default": delays(by_default)[0], "untouched": delays(untouched)[0], "asked": delays(asked)[0]}


@program()
def retries_with_other_arguments():
    app = make_app()

    @app.task(bind=True)
    def changing(self, x, y=0):
        if not self.request.retries:
            raise self.retry(args=(x + 1,), kwargs={"y": 5}, countdown=0)
        return [x, y]

    @app.task(bind=True)
    def only_keywords(self, x, y=0):
        if not self.request.retries:
            raise self.retry(kwargs={"y": 9}, countdown=0)
        return [x, y]

    return {"both": changing.apply((1,)).get(), "keywords": only_keywords.apply((1,)).get()}


@program()
def a_retry_that_does_not_throw():
    app, seen = make_app(), []

    @app.task(bind=True, max_retries=1)
    def quiet(self):
        if self.request.retries:
            return "second"
        ending = self.retry(throw=False, countdown=0)
        seen.append([type(ending).__name__, ending.when])
        return "first goes on"

    return {"value": quiet.apply().get(), "seen": seen}


@program()
def a_retry_of_a_direct_call():
    app = make_app()

    @app.task(bind=True)
    def plain(self):
        raise self.retry()

    @app.task(bind=True)
    def with_reason(self):
        raise self.retry(exc=KeyError("why"))

    @app.task(bind=True)
    def handling(self):
        try:
            raise ValueError("being handled")
        except ValueError:
            raise self.retry()

    return {
        "plain": raised(plain),
        "with reason": raised_text(with_reason),
        "while handling": raised_text(handling),
    }


@program()
def what_a_retry_says():
    one = Retry("later", KeyError("why"), 10)
    return {
        "text": [str(one), str(Retry(when=3))],
        "attributes": [one.message, one.exc, one.when, one.excs],
        "humanize": one.humanize(),
        "without text": str(Retry(exc=KeyError("why"), when=5)),
        "pickled": _roundtrip(one),
        "raisable": raised(lambda: (_ for _ in ()).throw(one)),
    }


def _roundtrip(exc):
    copy = pickle.loads(pickle.dumps(exc))
    return [type(copy).__name__, copy.message, copy.when]


@program()
def errors_that_retry_by_themselves():
    app = make_app()

    @app.task(autoretry_for=(KeyError,), retry_kwargs={"max_retries": 2, "countdown": 0})
    def fails():
        raise KeyError("again")

    @app.task(autoretry_for=(LookupError,), retry_kwargs={"countdown": 3}, max_retries=1)
    def by_base_class():
        raise KeyError("a LookupError")

    @app.task(autoretry_for=(KeyError,))
    def another_error():
        raise ValueError("not one of them")

    @app.task(autoretry_for=(KeyError,))
    def fine():
        return "fine"

    return {
        "listed": delays(fails),
        "base class": delays(by_base_class),
        "not listed": delays(another_error),
        "none": delays(fine),
    }


@program()
def errors_that_are_excluded_from_retrying():
    app = make_app()

    @app.task(
        autoretry_for=(Exception,), dont_autoretry_for=(KeyError,), retry_kwargs={"max_retries": 1, "countdown": 0}
    )
    def choose(kind):
        raise kind("chosen")

    return {"excluded": delays(choose, KeyError), "others": delays(choose, ValueError)}


@program()
def delays_that_grow():
    app = make_app()

    def growing(**options):
        @app.task(
            name=repr(options),
            autoretry_for=(KeyError,),
            retry_jitter=False,
            retry_kwargs={"max_retries": 5},
            **options,
        )
        def fails():
            raise KeyError

        return delays(fails)[0]

    return {
        "true": growing(retry_backoff=True),
        "factor": growing(retry_backoff=3),
        "capped": growing(retry_backoff=2, retry_backoff_max=9),
        "none": growing(),
    }


@program()
def delays_that_are_spread():
    app = make_app()

    @app.task(autoretry_for=(KeyError,), retry_backoff=8, retry_kwargs={"max_retries": 6})
    def fails():
        raise KeyError

    waits = delays(fails)[0]
    return {
        "number": len(waits),
        "in bounds": [0 <= wait <= 8 * 2**attempt for attempt, wait in enumerate(waits)],
        "whole seconds": [isinstance(wait, int) for wait in waits],
    }


@program()
def a_base_class_that_retries():
    app = make_app()

    class Insistent(Task):
        abstract = True
        autoretry_for = (ConnectionError,)
        max_retries = 2
        retry_backoff = True
        retry_jitter = False

    @app.task(base=Insistent)
    def connect():
        raise ConnectionRefusedError("nobody there")

    class Fetch(Task):
        name = "fetch"
        autoretry_for = (KeyError,)
        retry_kwargs = {"max_retries": 1, "countdown": 0}

        def run(self):
            raise KeyError("fetch")

    fetch = app.register_task(Fetch())
    return {"decorated": delays(connect), "class": delays(fetch)}


@program()
def automatic_retries_and_explicit_ones():
    app = make_app()

    @app.task(bind=True, autoretry_for=(Exception,), retry_kwargs={"max_retries": 1, "countdown": 1})
    def both(self):
        raise self.retry(countdown=0, max_retries=2)

    @app.task(autoretry_for=(KeyError,), retry_kwargs={"countdown": 0}, max_retries=1)
    def direct():
        raise KeyError("direct")

    return {"both": [delays(both)[0], delays(both)[1]], "direct call": raised(direct)}


@program()
def the_limit_may_be_overridden_by_attribute():
    app = make_app()

    @app.task(bind=True, autoretry_for=(KeyError,), retry_kwargs={"countdown": 0})
    def fails(self):
        self.override_max_retries = 1
        raise KeyError("x")

    return {"delays": delays(fails)}


@program()
def what_the_signal_of_a_retry_carries():
    app, seen = make_app(), []

    @app.task(bind=True, max_retries=1)
    def again(self):
        raise self.retry(exc=KeyError("why"), countdown=4)

    def note(sender=None, request=None, reason=None, einfo=None, **_):
        seen.append([sender.name, request.id, type(reason).__name__, reason.exc, reason.when, type(einfo).__name__])

    task_retry.connect(note, weak=False)
    again.apply(task_id="an-id")
    return {"seen": seen}


@program()
def the_error_of_too_many_retries():
    app = make_app()

    @app.task(bind=True, max_retries=0)
    def own_class(self, x):
        raise self.retry(countdown=0)

    result = own_class.apply((1,), task_id="an-id").result
    return {
        "class": [
            isinstance(result, MaxRetriesExceededError),
            own_class.MaxRetriesExceededError is MaxRetriesExceededError,
        ],
        "text": str(result),
    }


@program()
def retries_and_the_request():
    app, seen = make_app(), []

    @app.task(bind=True, max_retries=1)
    def look(self, x):
        seen.append([self.request.id, self.request.retries, list(self.request.args), self.request.is_eager])
        if not self.request.retries:
            raise self.retry(countdown=0)

    look.apply((1,), task_id="an-id")
    return {"seen": seen}


@program()
def a_retry_in_eager_mode():
    app = make_app(task_always_eager=True, task_eager_propagates=True)

    @app.task(bind=True, max_retries=2)
    def again(self):
        if self.request.retries < 2:
            raise self.retry(countdown=60)
        return "done"

    @app.task(bind=True, max_retries=1)
    def hopeless(self):
        raise self.retry(exc=KeyError("hopeless"), countdown=60)

    with listening(task_retry) as sent:
        propagated = [raised_text(again.delay), raised_text(hopeless.delay)]
        app.conf.task_eager_propagates = False
        quiet = [again.delay().get(), raised_text(hopeless.delay().get)]
    return {"propagated": propagated, "quiet": quiet, "signals": len(sent)}
