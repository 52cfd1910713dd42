"""Settings of all environments, by the names that they had before Celery 4."""

import os
from datetime import timedelta

BROKER_URL = os.environ["BROKER_URL"]
CELERY_RESULT_BACKEND = os.environ["RESULT_BACKEND"]
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TIMEZONE = "Asia/Shanghai"
CELERY_IMPORTS = ("reports.tasks",)
CELERY_TASK_RESULT_EXPIRES = timedelta(hours=2)
CELERYD_CONCURRENCY = 2
CELERYD_TASK_TIME_LIMIT = 60
CELERY_DEFAULT_QUEUE = "reports"
CELERY_ROUTES = {"reports.tasks.nightly": {"queue": "slow"}}
CELERY_ANNOTATIONS = {"reports.tasks.daily": {"rate_limit": "1000/s"}}
