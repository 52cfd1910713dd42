"""The app's queues and its router, under the names that Celery has for them (`app.amqp`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from celeriac.app.missing import missing_of_amqp
from celeriac.brokers.queues import Queues as Table
from celeriac.brokers.routing import AnyRoute, compile_routes
from celeriac.brokers.routing import Router as RouterOfApp
from celeriac.brokers.topology import Exchange, Queue

if TYPE_CHECKING:
    from celeriac.app.application import Celery

SETTINGS_OF_QUEUES: Final = (
    "task_create_missing_queue_exchange_type",
    "task_create_missing_queue_type",
    "task_create_missing_queues",
    "task_default_exchange",
    "task_default_exchange_type",
    "task_default_queue",
    "task_default_queue_type",
    "task_default_routing_key",
    "task_queue_max_priority",
    "task_queues",
)
"""The settings that the table of queues is made from. Another one leaves it as it is, with what was added to it."""


class AMQP:
    """Know the queues of one app, and where its calls go.

    Args:
        app: whose settings count.

    Attributes:
        queues_cls: class of the table.
        autoexchange: makes the exchanges of queues that are not listed, of their names; None: direct ones.
    """

    queues_cls = Table
    autoexchange: Any = None

    def __init__(self, app: Celery) -> None:
        self._app = app
        self._queues: tuple[tuple[Any, ...], Table] | None = None
        self._router: tuple[Any, Table, RouterOfApp] | None = None

    @property
    def queues(self) -> Table:
        """The queues there are, and those among them that a node consumes."""
        conf = self._app.conf
        said = tuple(conf[name] for name in SETTINGS_OF_QUEUES)
        if self._queues is None or self._queues[0] != said:
            made = self.Queues(conf.task_queues)
            made.on_add = self._app.note_queue
            self._queues = said, made
        return self._queues[1]

    @property
    def router(self) -> RouterOfApp:
        """What decides where calls go."""
        routes, queues, made = self._app.conf.task_routes, self.queues, self._router
        if made is None or made[0] is not routes or made[1] is not queues:
            made = self._router = routes, queues, self.Router()
        return made[2]

    def Queues(
        self,
        queues: Any,
        create_missing: bool | None = None,
        create_missing_queue_type: str | None = None,
        create_missing_queue_exchange_type: str | None = None,
        autoexchange: Any = None,
        max_priority: int | None = None,
    ) -> Table:
        """Make a table of queues; what is not said here, the settings say. Without queues it has the default one."""
        either, conf = self._app.either, self._app.conf
        if not queues:
            kind = conf.task_default_queue_type
            arguments = {"x-queue-type": kind} if kind != "classic" else None
            key = conf.task_default_routing_key or conf.task_default_queue
            queues = [Queue(conf.task_default_queue, self.default_exchange, key, queue_arguments=arguments)]
        return self.queues_cls(
            queues,
            default_exchange=self.default_exchange,
            create_missing=either("task_create_missing_queues", create_missing),
            create_missing_queue_type=either("task_create_missing_queue_type", create_missing_queue_type),
            create_missing_queue_exchange_type=either(
                "task_create_missing_queue_exchange_type", create_missing_queue_exchange_type
            ),
            autoexchange=self.autoexchange if autoexchange is None else autoexchange,
            max_priority=either("task_queue_max_priority", max_priority),
            default_routing_key=conf.task_default_routing_key,
        )

    def Router(self, queues: Table | None = None, create_missing: bool | None = None) -> RouterOfApp:
        """Make a router of the settings as they are now."""
        return RouterOfApp(
            self.routes,
            self.queues if queues is None else queues,
            self._app.either("task_create_missing_queues", create_missing),
            default_queue=self._app.conf.task_default_queue,
        )

    @property
    def routes(self) -> tuple[AnyRoute, ...]:
        """The routers of `task_routes`."""
        return compile_routes(self._app.conf.task_routes)

    def flush_routes(self) -> None:
        """Read `task_routes` again. A changed setting needs no such call; a dict that was changed in place does."""
        self._router = None
        self._app.builder.forget_rules()

    @property
    def default_queue(self) -> Queue:
        """Where calls go of which nothing is said."""
        return self.queues[self._app.conf.task_default_queue]

    @property
    def default_exchange(self) -> Exchange:
        """The exchange of queues that name none."""
        conf = self._app.conf
        return Exchange(conf.task_default_exchange or conf.task_default_queue, conf.task_default_exchange_type)

    @property
    def utc(self) -> bool:
        """The setting `enable_utc`."""
        return self._app.conf.enable_utc

    if not TYPE_CHECKING:  # a type checker that saw it would know of every misspelled attribute

        def __getattr__(self, name: str) -> Any:
            raise missing_of_amqp(name, [name for name in dir(type(self)) if not name.startswith("_")])
