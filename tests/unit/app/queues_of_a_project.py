# mypy: ignore-errors
from __future__ import annotations

from kombu import Exchange, Queue

default_exchange = Exchange("default", type="direct")

INSERT_DATA_ROUTING = {"queue": "insert_data", "routing_key": "insert_data_key"}
PULL_ROUTING = {"queue": "push", "routing_key": "push_key"}
PRIORITY_ROUTING = {"queue": "pipeline_priority", "routing_key": "pipeline_push_priority"}

CELERY_ROUTES = {
    # insert_data
    "home_application.tasks.insert_data_task": INSERT_DATA_ROUTING,
    # insert_multi_data
    "home_application.tasks.insert_multi_data_task": INSERT_DATA_ROUTING,
    # push_tracking
    "home_application.tasks.push_tracking": PULL_ROUTING,
    # push_tracking
    "home_application.tasks.push_weight": PULL_ROUTING,
    # PRIORITY
    "home_application.tasks.priority_task": PRIORITY_ROUTING,
}

CELERY_QUEUES = (
    # keep old queue to process message left in broker, remove on next version
    Queue("default", default_exchange, routing_key="default"),
    Queue("insert_data", default_exchange, routing_key="insert_data_key"),
    Queue("push", default_exchange, routing_key="push_key"),
    # priority queues
    Queue(
        "pipeline_priority",
        default_exchange,
        routing_key="pipeline_push_priority",
        queue_arguments={"x-max-priority": 9},
    ),
)

CELERY_DEFAULT_QUEUE = "default"  # 默认队列
CELERY_DEFAULT_EXCHANGE = "default"  # 默认 exchange
CELERY_DEFAULT_ROUTING_KEY = "default"  # 默认routing key
