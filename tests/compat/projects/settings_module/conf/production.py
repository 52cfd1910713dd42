from conf.base import *  # noqa: F403

CELERY_TRACK_STARTED = True
CELERY_SEND_TASK_SENT_EVENT = False
