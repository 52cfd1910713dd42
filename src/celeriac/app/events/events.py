"""`app.events`: tell events, hear them, and keep the picture that they draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from celeriac.app.events.dispatcher import EventDispatcher
from celeriac.app.events.receiver import EventReceiver
from celeriac.app.events.state import State

if TYPE_CHECKING:
    from celeriac.app.application import Celery


class Events:
    """Make what tells and hears events of one app.

    Attributes:
        Receiver: makes an `EventReceiver`.
        Dispatcher: makes an `EventDispatcher`.
        State: makes a `State`.
    """

    def __init__(self, app: Celery) -> None:
        self.app = app

    @property
    def Receiver(self) -> Callable[..., EventReceiver]:
        """Make an `EventReceiver` of this app."""
        return partial(EventReceiver, app=self.app)

    @property
    def Dispatcher(self) -> Callable[..., EventDispatcher]:
        """Make an `EventDispatcher` of this app."""
        return partial(EventDispatcher, app=self.app)

    @property
    def State(self) -> Callable[..., State]:
        """Make a `State`."""
        return State

    @contextmanager
    def default_dispatcher(
        self, hostname: str | None = None, enabled: bool = True, buffer_while_offline: bool = False, **options: Any
    ) -> Iterator[EventDispatcher]:
        """Give a dispatcher: ``with app.events.default_dispatcher() as events: events.send("shop-open")``."""
        with EventDispatcher(
            hostname=hostname,
            enabled=enabled,
            buffer_while_offline=buffer_while_offline,
            app=self.app,
            **options,
        ) as dispatcher:
            yield dispatcher

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.app!r}>"
