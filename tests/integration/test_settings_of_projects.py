"""The queues, routes and defaults of a settings module of Celery 3, word by word, with real nodes on every broker."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.integration.project import Project, wait_until

pytestmark = [pytest.mark.engines("sqlite", "redis", "rabbitmq"), pytest.mark.timeout(300)]

SETTINGS: Final = Path(__file__).parent.parent / "unit" / "app" / "queues_of_a_project.py"

TASKS: Final = """
import settings_of_project

app.config_from_object(settings_of_project)


def where(self):
    note("ran", self.name.rpartition(".")[2], self.request.delivery_info["routing_key"])


for _name in ("insert_data_task", "insert_multi_data_task", "push_tracking", "push_weight", "priority_task", "other"):
    app.task(bind=True, name=f"home_application.tasks.{_name}")(where)
"""

QUEUES: Final = {
    "insert_data_task": "insert_data",
    "insert_multi_data_task": "insert_data",
    "push_tracking": "push",
    "push_weight": "push",
    "priority_task": "pipeline_priority",
    "other": "default",
}


def test_every_task_goes_to_its_queue_and_a_worker_works_on_all(project: Project, monkeypatch) -> None:
    source = SETTINGS.read_text().replace("from kombu import", "from celeriac import")
    (project.folder / "settings_of_project.py").write_text(source)
    project.use_also(TASKS)
    monkeypatch.syspath_prepend(str(project.folder))
    settings: dict[str, object] = {}
    exec(source, settings)
    project.app.conf.update({name: value for name, value in settings.items() if name.startswith("CELERY_")})
    node = project.start()

    for name in QUEUES:
        project.app.send_task(f"home_application.tasks.{name}", priority=5)
    project.app.send_task("home_application.tasks.other", exchange="default", routing_key="push_key")

    wait_until(lambda: len(project.notes) == len(QUEUES) + 1, what=node.log_end)
    ran = sorted(words[1:] for words in project.notes)
    assert ran == sorted([*([name, queue] for name, queue in QUEUES.items()), ["other", "push_key"]])
    assert node.stop() == 0
