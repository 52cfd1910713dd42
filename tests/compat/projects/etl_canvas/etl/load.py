from celery.utils.log import get_task_logger

from etl.celery import app

logger = get_task_logger(__name__)
FAILURES = app.conf.get("failures", "failures.txt")


@app.task
def merge(tables):
    return {table["name"]: table["sum"] for table in tables}


@app.task
def store(totals, into=None):
    return {"into": into, "total": sum(totals.values()), "sources": len(totals)}


@app.task
def refuse(rows):
    raise ValueError(f"cannot load {len(rows)} rows")


@app.task
def add(x, y):
    return x + y


@app.task
def alarm(request, exc, traceback):
    with open(FAILURES, "a") as failures:
        failures.write(f"{request.task} {exc!r}\n")
