import os

from celery import Celery, Task
from celery.utils.log import get_task_logger

logger = get_task_logger(__name__)

app = Celery("crawler", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_BACKEND"])
app.conf.broker_connection_retry_on_startup = True
JOURNAL = os.environ["JOURNAL"]


def note(*words):
    with open(JOURNAL, "a") as journal:
        journal.write(" ".join(map(str, words)) + "\n")


class Connection:
    made = 0

    def __init__(self):
        Connection.made += 1


class DatabaseTask(Task):
    """Keep one connection per process."""

    abstract = True
    _connection = None

    @property
    def connection(self):
        if self._connection is None:
            self._connection = Connection()
        return self._connection


class JournalTask(DatabaseTask):
    abstract = True
    max_retries = 2
    default_retry_delay = 0

    def before_start(self, task_id, args, kwargs):
        note("before", self.name, *args)

    def on_success(self, retval, task_id, args, kwargs):
        note("success", self.name, retval)
        super(JournalTask, self).on_success(retval, task_id, args, kwargs)

    def on_failure(self, exc, task_id, args, kwargs, einfo):
        note("failure", self.name, type(exc).__name__, type(einfo).__name__, bool(einfo.traceback))

    def on_retry(self, exc, task_id, args, kwargs, einfo):
        note("retry", self.name, self.request.retries)

    def after_return(self, status, retval, task_id, args, kwargs, einfo):
        note("after", self.name, status)


@app.task(base=JournalTask, bind=True)
def fetch(self, url):
    assert self.connection is self.connection
    return {"url": url, "connections": Connection.made, "host": bool(self.request.hostname)}


@app.task(base=JournalTask, bind=True, autoretry_for=(OSError,), retry_backoff=False, retry_jitter=False)
def unreachable(self, url):
    raise OSError(url)


class Index(JournalTask):
    """A task that is a class, registered by hand."""

    name = "crawler.Index"
    ignore_result = False

    def run(self, *pages, language="en"):
        return {"pages": sorted(pages), "language": language}


class Purge(Task):
    name = "crawler.Purge"
    typing = False

    def __init__(self):
        self.batch = 10

    def run(self, count):
        return count // self.batch


index = app.register_task(Index())
purge = app.register_task(Purge())
