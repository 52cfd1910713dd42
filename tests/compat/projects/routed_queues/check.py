"""What goes where: the worker consumes all of the app's queues."""

from kombu import Exchange, Queue
from kombu.exceptions import OperationalError
from routed import app, encode, thumbnail, where

queues = {queue.name: queue for queue in app.conf.task_queues}
assert isinstance(queues["videos"], Queue) and isinstance(queues["videos"].exchange, Exchange)
assert queues["videos"].exchange.type == "topic" and queues["urgent"].queue_arguments == {"x-max-priority": 9}
assert issubclass(OperationalError, Exception)

assert where.delay().get(timeout=20) == "default"
assert encode.delay("film.mov").get(timeout=20) == "media.video.encode"
assert thumbnail.delay("cat.png").get(timeout=20) == "media.image.small"
assert where.apply_async(queue="urgent", priority=5).get(timeout=20) == "urgent"
assert where.apply_async(exchange="media", routing_key="media.image.large").get(timeout=20) == "media.image.large"
assert where.apply_async(queue=queues["images"], routing_key="media.image.x").get(timeout=20) == "media.image.x"
