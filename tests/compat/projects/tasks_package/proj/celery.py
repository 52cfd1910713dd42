import os

from celery import Celery

app = Celery(
    "proj",
    broker=os.environ["BROKER_URL"],
    backend=os.environ["RESULT_BACKEND"],
    include=["proj.tasks"],
)

app.conf.update(
    result_expires=3600,
    task_serializer="json",
    accept_content=["json"],
    timezone="Europe/Oslo",
    enable_utc=True,
    broker_connection_retry_on_startup=True,
)

if __name__ == "__main__":
    app.start()
