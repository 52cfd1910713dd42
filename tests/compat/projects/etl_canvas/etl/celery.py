import os

from celery import Celery

app = Celery("etl", include=["etl.extract", "etl.load"])
app.conf.broker_url = os.environ["BROKER_URL"]
app.conf.result_backend = os.environ["RESULT_BACKEND"]
app.conf.result_extended = True
app.conf.result_chord_join_timeout = 10
app.conf.broker_connection_retry_on_startup = True
