import time

from celery import Task, shared_task
from flask import current_app


@shared_task(ignore_result=False)
def greet(name: str) -> str:
    return f"{current_app.config['GREETING']}, {name}!"


@shared_task()
def block() -> None:
    time.sleep(0.01)


@shared_task(bind=True, ignore_result=False)
def process(self: Task, total: int) -> object:
    for i in range(total):
        self.update_state(state="PROGRESS", meta={"current": i + 1, "total": total})
    return {"current": total, "total": total}
