"""The door to events: what tells and hears them is imported by the first who wants to, and not with every app."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.context import Context
    from celeriac.app.events.events import Events
    from celeriac.message import Message


def events_of(app: Celery) -> Events:
    """Make what `app.events` is."""
    from celeriac.app.events.events import Events

    return Events(app)


def tell_sent(app: Celery, messages: Sequence[Message]) -> None:
    """Send an event of each message that the broker has."""
    from celeriac.app.events.sending import tell_sent as tell

    tell(app, messages)


def tell_of_run(app: Celery, context: Context, kind: str, fields: Mapping[str, Any]) -> None:
    """Send an event of a run.

    Raises:
        EncodeError: a field cannot be written.
    """
    from celeriac.app.events.sending import tell_of_run as tell

    tell(app, context, kind, fields)
