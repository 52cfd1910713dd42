from __future__ import annotations

import sys
import types

from observing import differs, make_app, program, raised

import celeriac
from celeriac import Celery, Task, current_app, shared_task
from celeriac.app import app_or_default


@program()
def the_current_app():
    first = make_app("first")
    before = current_app.main
    second = make_app("second")
    aside = Celery("aside", broker="memory://", set_as_current=False)
    after = current_app.main
    first.set_current()
    return {
        "each new app": [before, after],
        "set": [current_app.main, current_app == first],
        "aside": aside.main,
        "or default": [app_or_default().main, app_or_default(second).main],
        "attribute": current_app.conf is first.conf,
        "second": second.main,
    }


@program()
def the_default_app():
    app = Celery("named", broker="memory://", set_as_current=False)
    unnamed = current_app.main
    app.set_default()
    return {"before": unnamed == "named", "after": app_or_default().main}


@program()
def shared_tasks_reach_every_app():
    @shared_task
    def early(x):
        return x + 1

    one, other = make_app("one"), make_app("other")

    @shared_task(name="late", bind=True, max_retries=9)
    def late(self):
        return [self.name, self.max_retries, self.app.main]

    names = ("apps.early", "late")
    one.finalize(), other.finalize()
    of_other = late()
    one.set_current()
    return {
        "registered": [[name in app.tasks for name in names] for app in (one, other)],
        "called": [early(1), of_other, late()],
        "of an app": other.tasks["late"](),
        "app": [early.app.main, type(early.apply((1,))).__name__],
    }


@program()
def a_shared_task_without_any_app():
    @shared_task
    def alone(x):
        return x * 2

    return {"called": alone(2), "name": alone.name}


@program()
def shared_tasks_decorated_wrongly():
    @shared_task
    def once():
        return 1

    make_app()
    return {"twice": raised(lambda: shared_task(once))}


@program()
def an_app_is_finished_once():
    app = Celery("shop", broker="memory://")
    seen = []
    app.on_after_finalize.connect(lambda sender=None, **_: seen.append(sender is app), weak=False)

    @app.task
    def one():
        return 1

    before = app.finalized
    app.finalize()
    app.finalize()
    return {"before": before, "after": app.finalized, "signals": seen, "registered": "apps.one" in app.tasks}


@program()
def an_app_that_must_not_finish_by_itself():
    app = Celery("shop", broker="memory://", autofinalize=False)

    @app.task
    def one():
        return 1

    refused = raised(lambda: app.tasks)
    app.finalize()
    return {"refused": refused, "afterwards": "apps.one" in app.tasks, "called": one()}


@program()
def an_app_as_a_context():
    with Celery("shop", broker="memory://") as app:

        @app.task
        def one():
            return 1

        value = one()
    return {"value": value, "main": app.main, "again": one()}


@program()
def tasks_are_looked_up():
    app = make_app()

    @app.task
    def one():
        return 1

    @app.task(name="two")
    def second():
        return 2

    return {
        "names": sorted(name for name in app.tasks if name in ("apps.one", "two", "three")),
        "items": all(task.name == name for name, task in app.tasks.items()),
        "in": ["two" in app.tasks, "three" in app.tasks],
        "unregister": (app.tasks.unregister("two"), "two" in app.tasks)[1],
        "missing": raised(app.tasks.unregister, "two"),
    }


@program(
    differs("in another app", celery=True, ours=False, row="tasks of one app are tasks of every app"),
)
def tasks_of_another_app():
    one = make_app("one")

    @one.task
    def mine():
        return 1

    @one.task(shared=False)
    def private():
        return 2

    one.finalize()
    other = make_app("other")
    return {
        "own": ["apps.mine" in one.tasks, "apps.private" in one.tasks],
        "in another app": "apps.mine" in other.tasks,
        "private": "apps.private" in other.tasks,
    }


@program()
def classes_are_registered():
    app = make_app()

    class Base(Task):
        def run(self, x):
            return [self.name, x, self.app is app]

    class Derived(Base):
        name = "derived"

        def run(self, x):
            return ["derived", *super().run(x)]

    class Abstract(Task):
        abstract = True

    one = app.register_task(Base())
    two = app.register_task(Derived())
    return {
        "base": one(1),
        "derived": two(2),
        "applied": two.apply((3,)).get(),
        "by name": app.tasks["derived"].apply((4,)).get(),
        "no run": raised(app.register_task(type("Empty", (Task,), {"name": "empty"})())),
    }


@program()
def classes_know_their_app():
    app = make_app()

    class Send(app.Task):
        name = "send"

        def run(self):
            return self.app.main

    return {"main": app.register_task(Send())(), "bound": Send.app is app, "class": app.Task.app is app}


@program()
def tasks_are_found_in_packages():
    package = types.ModuleType("mail")
    package.__path__ = []
    tasks = types.ModuleType("mail.tasks")
    other = types.ModuleType("mail.jobs")
    sys.modules.update({"mail": package, "mail.tasks": tasks, "mail.jobs": other})
    app = make_app()

    for module, name in ((tasks, "send"), (other, "clean")):

        def body():
            return 1

        body.__name__, body.__module__ = name, module.__name__
        setattr(module, name, app.task(body))

    app.autodiscover_tasks(["mail"], force=True)
    app.autodiscover_tasks(["mail"], related_name="jobs", force=True)
    return {"found": sorted(name for name in app.tasks if name.startswith("mail"))}


@program()
def discovering_waits_until_modules_are_imported():
    from celeriac.signals import import_modules

    app = make_app()
    asked = []

    def packages():
        asked.append("asked")
        return ["json"]

    app.autodiscover_tasks(packages)
    before = list(asked)
    import_modules.send(sender=app)
    return {"before": before, "after": asked, "missing": _import_fails(app, "no_such_package")}


def _import_fails(app, package):
    try:
        app.autodiscover_tasks([package], force=True)
    except ImportError:
        return True
    return False


@program()
def what_the_package_offers():
    names = [
        "Celery",
        "shared_task",
        "Task",
        "current_app",
        "current_task",
        "signature",
        "subtask",
        "maybe_signature",
        "uuid",
    ]
    return {
        "names": {name: hasattr(celeriac, name) for name in names},
        "version": [isinstance(celeriac.__version__, str)],
        "uuid": len(celeriac.uuid()),
        "dir": "Celery" in dir(celeriac),
    }


@program()
def the_task_that_runs():
    app = make_app()

    @app.task(bind=True)
    def look(self):
        return [
            celeriac.current_task.name,
            celeriac.current_task.request.id,
            app.current_task.name,
            bool(celeriac.current_task),
        ]

    return {"inside": look.apply(task_id="an-id").get(), "outside": [bool(celeriac.current_task), app.current_task]}


@program()
def a_stack_of_requests():
    app = make_app()

    @app.task(bind=True)
    def look(self):
        return [self.request.id, list(self.request.args or ()), self.request.called_directly, self.request.retries]

    look.push_request(id="pushed", args=(1,), retries=4, called_directly=False)
    inside = [look.request.id, look.request.retries, look.run()]
    look.pop_request()
    return {"pushed": inside, "popped": [look.request.id, look.request.called_directly], "direct": look()}


@program()
def the_request_of_a_direct_call():
    app = make_app()

    @app.task(bind=True)
    def look(self, x, y=0):
        request = self.request
        return [
            request.called_directly,
            request.id,
            list(request.args),
            request.kwargs,
            request.retries,
            request.is_eager,
            request.hostname,
        ]

    return {
        "inside": look(1, y=2),
        "nothing set": [look.request.id, look.request.called_directly, hasattr(look.request, "no_such_thing")],
    }


@program()
def requests_are_like_dictionaries():
    app = make_app()

    @app.task(bind=True)
    def look(self):
        request = self.request
        return [request.get("id"), request.get("nope", "fallback"), request.get("retries")]

    look.push_request(id="an-id")
    look.request.update(retries=3, colour="blue")
    updated = [look.request.retries, look.request.colour, look.request.get("colour")]
    look.pop_request()
    return {"get": look.apply(task_id="an-id").get(), "update": updated}


@program()
def nested_direct_calls():
    app = make_app()

    @app.task(bind=True)
    def inner(self):
        return [self.request.called_directly, self.request.id]

    @app.task(bind=True)
    def outer(self):
        return [inner(), [self.request.called_directly, self.request.id]]

    @app.task(bind=True)
    def countdown(self, n):
        return [n, *(countdown(n - 1) if n else [])]

    return {"nested": outer.apply(task_id="an-id").get(), "recursive": countdown.apply((2,), task_id="an-id").get()}


@program()
def ids_of_apps():
    one, other = make_app("one"), make_app("other")
    return {"own": one.oid == one.oid, "different": one.oid != other.oid, "text": isinstance(one.oid, str)}


@program()
def results_through_the_app():
    app = make_app()

    class Result(app.AsyncResult):
        def shout(self):
            return self.id.upper()

    return {
        "made": app.AsyncResult("an-id").app is app,
        "derived": Result("an-id").shout(),
    }


@program()
def classes_of_apps():
    class Shop(Celery):
        def on_init(self):
            self.greeting = "hello"

        @property
        def colour(self):
            return "blue"

    app = Shop("shop", broker="memory://")
    return {
        "on_init": app.greeting,
        "property": app.colour,
        "is one": isinstance(app, Celery),
        "repr": "shop" in repr(app),
    }
