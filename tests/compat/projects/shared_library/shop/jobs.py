from billing.tasks import charge
from shop import app


@app.task
def close_day():
    charge.delay(1)
    return "closed"
