"""The task by which a test sees that a worker works; every app of the process has it once this is imported."""

from __future__ import annotations

from celeriac.app.shared import shared_task


@shared_task(name="celery.ping")
def ping() -> str:
    """Answer."""
    return "pong"
