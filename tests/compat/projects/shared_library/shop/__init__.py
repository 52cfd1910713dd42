import os

from celery import Celery

app = Celery("shop")
app.config_from_object(
    {
        "broker_url": os.environ["BROKER_URL"],
        "result_backend": os.environ["RESULT_BACKEND"],
        "broker_connection_retry_on_startup": True,
        "task_routes": {"billing.*": {"queue": "money"}},
    }
)
app.autodiscover_tasks(["billing", "shop"])
app.autodiscover_tasks(["shop"], related_name="jobs")
