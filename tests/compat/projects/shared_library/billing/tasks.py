from celery import current_app, current_task, shared_task
from celery.exceptions import Reject
from celery.utils.log import get_task_logger

logger = get_task_logger(__name__)


@shared_task
def charge(cents):
    if cents < 0:
        raise ValueError(f"cannot charge {cents}")
    return {"charged": cents, "by": current_app.main, "task": current_task.name}


@shared_task(bind=True, name="billing.refund", max_retries=1, default_retry_delay=0)
def refund(self, cents):
    if not cents:
        raise Reject("nothing to refund", requeue=False)
    if self.request.retries == 0:
        raise self.retry()
    return -cents


@shared_task(ignore_result=True)
def send_receipt(to):
    logger.info("receipt for %s", to)


@shared_task(typing=False)
def total(*items, **options):
    return sum(items) + options.get("tip", 0)
