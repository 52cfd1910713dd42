import logging
import os

from celery import Celery, signals
from celery.signals import after_setup_logger, setup_logging, task_prerun, worker_process_init, worker_ready

app = Celery("audited", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_BACKEND"])
app.conf.broker_connection_retry_on_startup = True
JOURNAL = os.environ["JOURNAL"]


def note(*words):
    with open(JOURNAL, "a") as journal:
        journal.write(" ".join(map(str, words)) + "\n")


@setup_logging.connect
def configure_logging(loglevel=None, **kwargs):
    logging.basicConfig(level=loglevel or logging.INFO, format="AUDIT %(levelname)s %(message)s")


@after_setup_logger.connect
def never(**kwargs):
    note("after_setup_logger")


@worker_process_init.connect
def child(**kwargs):
    global connection
    connection = object()


@worker_ready.connect
def ready(sender=None, **kwargs):
    note("ready", bool(sender.hostname))


@signals.worker_shutdown.connect
def stopped(**kwargs):
    note("shutdown")


@signals.before_task_publish.connect
def stamp(sender=None, headers=None, body=None, **kwargs):
    headers["tenant"] = "acme"


@signals.after_task_publish.connect(sender="audited.pay")
def published(sender=None, headers=None, body=None, exchange=None, routing_key=None, **kwargs):
    note("published", sender, body[0], routing_key)


@signals.task_received.connect
def received(request=None, **kwargs):
    note("received", request.name)


@task_prerun.connect
def prerun(task_id=None, task=None, args=None, kwargs=None, **extra):
    note("prerun", task.name, task.request.get("tenant") or getattr(task.request, "tenant", None), bool(connection))


@signals.task_postrun.connect
def postrun(task_id=None, task=None, retval=None, state=None, **kwargs):
    note("postrun", task.name, state)


@signals.task_success.connect
def success(sender=None, result=None, **kwargs):
    note("success", sender.name, result)


@signals.task_failure.connect
def failure(sender=None, task_id=None, exception=None, traceback=None, einfo=None, **kwargs):
    note("failure", sender.name, repr(exception), traceback is not None, "ZeroDivisionError" in str(einfo))


@signals.task_retry.connect
def retried(sender=None, request=None, reason=None, **kwargs):
    note("retry", sender.name, request.retries, "later" in str(reason))


@app.task
def pay(amount):
    return 100 / amount


@app.task(bind=True)
def try_twice(self):
    if self.request.retries == 0:
        raise self.retry(exc=RuntimeError("later"), countdown=0)
    return "done"
