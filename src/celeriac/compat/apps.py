"""What Celery has in `celery.app` to find an app."""

from __future__ import annotations

from celeriac.app.application import Celery
from celeriac.app.current import current_app


def app_or_default(app: Celery | None = None) -> Celery:
    """Return the app, or the current one for None.

    Raises:
        ImproperlyConfigured: None is given, and this process has no app.
    """
    return current_app() if app is None else app
