from celery import chain, group

from etl.celery import app

SOURCES = {"north": [3, 1, 2], "south": [10, 20], "west": []}


@app.task
def sources():
    return sorted(SOURCES)


@app.task
def read(source):
    return SOURCES[source]


@app.task
def clean(rows):
    return sorted(rows)


@app.task
def double(row):
    return 2 * row


@app.task
def table(rows, name):
    return {"name": name, "rows": rows, "sum": sum(rows)}


def pipeline(source):
    return chain(read.s(source), clean.s(), table.s(source))


@app.task(bind=True)
def read_all(self, names):
    """Go on as one pipeline per source, whatever the number."""
    return self.replace(group(pipeline(name) for name in names))
