"""What packages that hook into Celery do, in one project: hand a tenant on from run to run, in three ways, and trace."""

import contextvars
import os
from importlib.metadata import version

from celery import Celery, Task, bootsteps, registry, signals
from celery.worker import WorkController
from celery.worker.request import Request

assert version("celery").startswith("5.")

JOURNAL = os.environ["JOURNAL"]
tenant = contextvars.ContextVar("tenant", default=None)


def note(*words):
    with open(JOURNAL, "a") as journal:
        journal.write(" ".join(map(str, words)) + "\n")


class Settings:
    HOOKED_BROKER_URL = os.environ["BROKER_URL"]
    HOOKED_RESULT_BACKEND = os.environ["RESULT_BACKEND"]
    HOOKED_BROKER_CONNECTION_RETRY_ON_STARTUP = True
    HOOKED_ONCE = {"timeout": 5}
    HOOKED_TASK_TENANT_DATABASES = ("default",)


class TellingApp(Celery):
    task_cls = "hooked:TellingTask"

    def create_task_cls(self):
        return self.subclass_with_self(self.task_cls, abstract=True, name="TenantTask", attribute="_app")

    def send_task(self, name, args=None, kwargs=None, **options):
        options["headers"] = {**(options.get("headers") or {}), "through_app": tenant.get()}
        return super().send_task(name, args=args, kwargs=kwargs, **options)


class TellingTask(Task):
    abstract = True
    databases = ("default",)

    @classmethod
    def once(cls):
        return cls._get_app().conf.ONCE["timeout"]

    def apply_async(
        self, args=None, kwargs=None, task_id=None, producer=None, link=None, link_error=None, shadow=None, **options
    ):
        options["headers"] = {**(options.get("headers") or {}), "through_task": tenant.get()}
        return super().apply_async(args, kwargs, task_id, producer, link, link_error, shadow, **options)


app = TellingApp("hooked", set_as_current=True)
app.config_from_object(Settings, namespace="HOOKED")


@signals.before_task_publish.connect
def publishing(sender, headers, declare, **_):
    headers["through_signal"] = tenant.get()
    note("before", registry.tasks[sender].name, declare[0].name, declare[0].exchange.type)


@signals.after_task_publish.connect
def published(sender, headers, **_):
    note("after", sender)


@signals.task_prerun.connect
def beginning(task, **_):
    assert task.databases == ("default",)
    assert task.request_stack.top is task.request and vars(task.request)["id"] == task.request.id
    task.request.token = tenant.set(task.request.get("through_signal"))


@signals.task_postrun.connect
def ended(task, **_):
    tenant.reset(task.request.token)


@signals.task_received.connect
def received(request: Request, **_):
    if request.task.name == "hooked.seen":
        note("received", request.humaninfo() == f"hooked.seen[{request.id}]", request.info()["type"], request.eta)


class Step(bootsteps.Step):
    def __init__(self, parent: WorkController, **options):
        super().__init__(parent, **options)
        signals.task_success.connect(self.succeeded)

    def succeeded(self, sender, **_):
        note("success", sender.name)


app.steps["worker"].add(Step)


@app.task(bind=True, level=3)
def seen(self, *args):
    assert self.level == 3
    return [self.request.get(f"through_{way}") for way in ("app", "task", "signal")]


@app.task(queue="celery")
def timeout():
    return timeout.once()
