"""The app of a project that makes none: its settings are in a module, which names the modules of its tasks."""

from __future__ import annotations

from typing import Final

from celeriac.app.application import Celery
from celeriac.app.current import current_app

app: Final[Celery] = current_app()
