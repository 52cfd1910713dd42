"""What operations look at after a deployment."""

import datetime
import os
from pathlib import Path

from celery import current_app
from reports import app
from reports.loading import ReportsLoader

assert app.conf.broker_url and app.conf.result_backend
assert app.conf.timezone == "Asia/Shanghai" and app.conf.task_default_queue == "reports"
assert app.conf.worker_concurrency == 2 and app.conf.task_time_limit == 60 and app.conf.task_track_started is True
assert app.conf.result_expires in (datetime.timedelta(hours=2), 7200), app.conf.result_expires
app.loader.import_default_modules()
daily, nightly = app.tasks["reports.tasks.daily"], app.tasks["reports.tasks.nightly"]
assert daily.rate_limit == "1000/s"

result = daily.delay("monday")
assert result.get(timeout=20) == "report of monday"
assert nightly.delay(["mon", "tue"]).get(timeout=20) == ["report of mon", "report of tue"]
assert app.send_task("reports.tasks.which_app").get(timeout=20) == "reports"
assert current_app.main == "reports"
assert isinstance(app.loader, ReportsLoader)
noted = Path(os.environ["JOURNAL"]).read_text().splitlines()
assert {"imports", "worker", "process", f"begins {result.id} reports.tasks.daily"} <= set(noted), noted
assert app.now().utcoffset() == datetime.timedelta(hours=8), app.now()
