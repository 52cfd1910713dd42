import os

from celery import Celery
from kombu import Exchange, Queue

app = Celery("routed", broker=os.environ["BROKER_URL"], backend=os.environ["RESULT_BACKEND"])
app.conf.broker_connection_retry_on_startup = True

media = Exchange("media", type="topic")
app.conf.task_default_queue = "default"
app.conf.task_default_exchange = "default"
app.conf.task_default_routing_key = "default"
app.conf.task_queues = (
    Queue("default", Exchange("default"), routing_key="default"),
    Queue("videos", media, routing_key="media.video.#"),
    Queue("images", media, routing_key="media.image.*"),
    Queue("urgent", Exchange("urgent", type="direct"), routing_key="urgent", queue_arguments={"x-max-priority": 9}),
)


def route_task(name, args, kwargs, options, task=None, **kw):
    if name.endswith(".thumbnail"):
        return {"exchange": "media", "exchange_type": "topic", "routing_key": "media.image.small"}
    return None


app.conf.task_routes = (
    route_task,
    {"routed.encode": {"queue": "videos", "routing_key": "media.video.encode"}},
)


@app.task(bind=True)
def where(self, *words):
    return self.request.delivery_info["routing_key"]


@app.task(bind=True)
def encode(self, path):
    return self.request.delivery_info["routing_key"]


@app.task(bind=True)
def thumbnail(self, path):
    return self.request.delivery_info["routing_key"]
