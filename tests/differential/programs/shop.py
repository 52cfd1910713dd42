"""The app of the live programs; its tasks are in the `live_` and `last_` modules, beside their programs."""

from __future__ import annotations

import json
import os
from pathlib import Path

from celeriac import Celery

app = Celery(
    "shop",
    broker=os.environ["DIFFERENTIAL_BROKER"],
    backend=os.environ["DIFFERENTIAL_RESULTS"],
    include=sorted(path.stem for path in Path(__file__).parent.glob("l???_*.py")),
)
app.conf.update(json.loads(os.environ["DIFFERENTIAL_SETTINGS"]))
app.conf.update(
    accept_content=["json", "msgpack", "yaml"],
    result_accept_content=["json", "msgpack", "yaml"],
    result_extended=True,
    worker_hijack_root_logger=False,
)
