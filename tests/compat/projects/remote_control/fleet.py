import os

from celery import Celery
from celery.worker.control import Panel, control_command, inspect_command

app = Celery("fleet", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_BACKEND"])
app.conf.broker_connection_retry_on_startup = True
seen = []


@inspect_command(args=[("factor", int)], signature="[factor=1]")
def seen_so_far(state, factor=1):
    return {"seen": len(seen) * factor, "app": state.app.main}


@control_command(args=[("what", str)], signature="<what>")
def remember(state, what):
    seen.append(what)
    return {"ok": f"remembered {what}"}


@Panel.register
def forget(state, **kwargs):
    seen.clear()
    return {"ok": "forgotten"}


@app.task
def add(x, y):
    return x + y


@app.task(bind=True)
def wait(self, seconds):
    import time

    for _ in range(int(seconds / 0.05)):
        time.sleep(0.05)
