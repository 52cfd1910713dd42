from __future__ import annotations

import inspect
import sys
import types
import typing

from observing import make_app, program, raised, warned

from celeriac import Celery, Task, shared_task


@program()
def automatic_names():
    app = make_app("shop")

    @app.task
    def add(x, y):
        return x + y

    def outer():
        @app.task
        def inner():
            return 1

        return inner

    class Holder:
        @app.task
        def method(self):
            return 1

    return {
        "function": add.name,
        "nested": outer().name,
        "in a class": Holder.method.name,
        "function name": add.__name__,
        "registered": [name in app.tasks for name in ("naming.add", "naming.inner", "naming.method")],
    }


@program()
def explicit_names():
    app = make_app()

    @app.task(name="orders.pay")
    def pay():
        return 1

    @app.task(name="Überweisung 汇款")
    def transfer():
        return 2

    return {
        "name": pay.name,
        "unicode": transfer.name,
        "lookup": [app.tasks["orders.pay"]() + app.tasks["Überweisung 汇款"](), "explicit_names" in app.tasks],
        "not registered": raised(lambda: app.tasks["orders.refund"]),
        "function keeps its own": [pay.__name__, transfer.__name__],
    }


@program()
def tasks_looked_at_as_functions():
    app = make_app()

    def pay(amount: int, to: str = "x") -> list[str]:
        return []

    def bound(self, amount: int) -> None:
        pass

    class Class(app.Task):
        def run(self, amount: int) -> None:
            pass

    tasks = {
        "function": app.task(pay),
        "bound": app.task(bind=True, name="b")(bound),
        "shared": shared_task(name="s")(pay),
        "class": app.register_task(Class()),
    }
    facts = {what: [task.__name__, str(inspect.signature(task.run))] for what, task in tasks.items()}
    for what in ("function", "bound", "shared"):
        task = tasks[what]
        facts[what] += [str(typing.get_type_hints(task)), str(inspect.signature(task)), task.__qualname__]
    return facts


@program()
def tasks_of_the_script_that_was_started():
    def named(app, module):
        def body():
            return 1

        body.__module__ = module
        return app.task(body).name

    return {
        "with a name": named(make_app("shop"), "__main__"),
        "without": named(make_app(None), "elsewhere"),
        "from a package": named(make_app("shop"), "shop.deep.tasks"),
        "generated": make_app("shop").gen_task_name("pay", "__main__"),
        "generated elsewhere": make_app("shop").gen_task_name("pay", "mail.tasks"),
    }


@program()
def an_app_may_name_its_tasks_itself():
    class Shop(Celery):
        def gen_task_name(self, name, module):
            if module.endswith(".tasks"):
                module = module[: -len(".tasks")]
            return super().gen_task_name(name.upper(), module)

    app = Shop("shop", broker="memory://")

    def pay():
        return 1

    def ship():
        return 2

    ship.__module__ = "stock.tasks"
    return {"here": app.task(pay).name, "elsewhere": app.task(ship).name, "explicit": app.task(name="x")(pay).name}


@program()
def two_functions_of_one_name():
    app = make_app()

    def first():
        return "first"

    def second():
        return "second"

    with warned() as warnings:
        one = app.task(name="same")(first)
        called = [one()]
        two = app.task(name="same")(second)
        app.finalize()
        called += [one(), two(), app.tasks["same"]()]
    return {"called": called, "warned": "DuplicateTaskNameWarning" in warnings}


@program()
def the_same_function_decorated_twice():
    app = make_app()

    def body():
        return "body"

    with warned() as warnings:
        one = app.task(name="same")(body)
        two = app.task(name="same")(body)
        app.finalize()
        values = [one(), two()]
    return {"values": values, "warned": "DuplicateTaskNameWarning" in warnings}


@program()
def classes_are_named_as_functions_are():
    app = make_app()

    class Send(Task):
        def run(self, to):
            return f"to {to}"

    class Named(Task):
        name = "mail.named"

        def run(self):
            return self.name

    send = app.register_task(Send())
    named = app.register_task(Named())
    by_class = app.register_task(type("Late", (Task,), {"name": "mail.late", "run": lambda self: "late"}))
    return {
        "automatic": send.name,
        "registered": "naming.Send" in app.tasks,
        "given": named.name,
        "by class": [by_class.name, app.tasks["mail.late"]()],
        "called": [send("bob"), named()],
        "is the class": isinstance(send, Send),
    }


@program()
def shared_tasks_are_named_by_their_module():
    module = types.ModuleType("library.jobs")
    sys.modules["library.jobs"] = module
    module.shared_task = shared_task
    exec("@shared_task\ndef clean():\n    return 'clean'\n", module.__dict__)
    one, other = make_app("one"), make_app("other")
    return {
        "name": module.clean.name,
        "in both apps": ["library.jobs.clean" in one.tasks, "library.jobs.clean" in other.tasks],
        "of the current app": module.clean.app is other,
        "bound to each": [one.tasks["library.jobs.clean"].app is one, other.tasks["library.jobs.clean"].app is other],
        "runs": module.clean(),
    }


@program()
def names_that_are_no_text():
    app = make_app()

    def body():
        return 1

    return {
        "callable object": raised(app.task, object()),
        "two positional": raised(app.task, body, body),
        "no such task": raised(lambda: app.tasks["nope"]),
        "get of a registry": app.tasks.get("nope"),
    }
