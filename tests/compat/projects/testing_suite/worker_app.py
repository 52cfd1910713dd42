from celery import Celery

app = Celery("worker_app", broker="memory://", backend="cache+memory://")


@app.task
def add(x, y):
    return x + y


@app.task(bind=True)
def whoami(self):
    return self.request.hostname, self.request.id, self.request.is_eager


@app.task(bind=True, max_retries=2)
def stubborn(self):
    raise self.retry(exc=KeyError("never"), countdown=0)
