"""The app: what a program makes one of, and everything else hangs on."""

from __future__ import annotations

import os
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, Unpack

import msgspec

from celeriac.app.amqp import AMQP
from celeriac.app.arguments import arguments_of, check_task_name
from celeriac.app.building import Builder
from celeriac.app.composing import Composing
from celeriac.app.configured import Configured
from celeriac.app.context import running_task, worker_context
from celeriac.app.control import Control
from celeriac.app.current import living_apps, set_current_app, set_default_app
from celeriac.app.dead_letters import DeadLetters
from celeriac.app.eager import Eager
from celeriac.app.entry import run_command, run_worker
from celeriac.app.group_result import GroupResult as GroupOfResults
from celeriac.app.group_result import group_class, set_class
from celeriac.app.lamport import LamportClock
from celeriac.app.loaders import VARIABLE, BaseLoader, connect_hooks, loader_class, says_settings, source_of
from celeriac.app.log_setup import Logging
from celeriac.app.missing import missing_of_app
from celeriac.app.oids import oid_of_process, oid_of_thread
from celeriac.app.options import CallOptions
from celeriac.app.records import Recorder
from celeriac.app.registering import Registering
from celeriac.app.reporting import bugreport
from celeriac.app.result import AsyncResult as Result
from celeriac.app.result import bound_class
from celeriac.app.result_set import ResultSet as SetOfResults
from celeriac.app.result_tree import result_from_tuple
from celeriac.app.send import Sender
from celeriac.app.signals import Signal
from celeriac.app.stores import SETTINGS_OF_STORES, make_backend, make_broker
from celeriac.app.task import Task as BaseTask
from celeriac.app.telling import events_of
from celeriac.backends.base import ResultBackend
from celeriac.brokers.base import Broker, ResultMeta
from celeriac.brokers.topology import Queue
from celeriac.canvas.signature import Signature, signature
from celeriac.exceptions import AlwaysEagerIgnored
from celeriac.states import PENDING, RETRY
from celeriac.wire.results import read_group, write_group

if TYPE_CHECKING:
    from celeriac.app.events.events import Events
    from celeriac.brokers.bus import Bus


class _Stores(msgspec.Struct, frozen=True):
    """Hold the adapters that were made for what the settings said."""

    version: int
    said: tuple[Any, ...]
    broker: Broker
    write_broker: Broker
    backend: ResultBackend | None

    def declare(self, queues: Iterable[Queue]) -> None:
        """Have the brokers know of queues."""
        known = list(queues)
        self.broker.declare(known)
        if self.write_broker is not self.broker:
            self.write_broker.declare(known)


class Celery(Registering, Configured):
    """Register tasks, and send calls of them.

    Args:
        main: name of the app; it stands for ``__main__`` in the names of tasks.
        broker: `broker_url`.
        backend: `result_backend`.
        include: modules that define tasks.
        set_as_current: be the app that is meant where none is named.
        task_cls: the class that its tasks are made of, or the dotted path of one.
        autofinalize: complete the tasks at their first use; False waits for `finalize`.
        strict_typing: check the arguments of calls, unless a task says otherwise.
        changes: settings, as a dict.
        config_source: what to read settings from; see `config_from_object`.
        config_source_silent: read nothing when that is not there.
        namespace: what names of settings begin with there, such as ``CELERY``.
        loader: the class of `app.loader`, or its path; None: what `CELERY_LOADER` names, else celeriac's own.
        settings: any other setting.

    Attributes:
        main: the name given.
        conf: the settings.
        builder: makes the messages of calls.
        sender: publishes them.
        eager: runs tasks in this process.
        canvas: sends and runs what consists of several calls.
        finalized: its tasks are complete.
        on_configure, on_after_configure, on_after_finalize, on_after_fork: signals of this app.
    """

    loader_cls: ClassVar[type[BaseLoader] | str | None] = None
    """The class of loaders that apps of this class have, where neither they nor the environment name one."""

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: str | Sequence[str] | None = None,
        set_as_current: bool = True,
        task_cls: type[BaseTask[..., Any]] | str | None = None,
        autofinalize: bool = True,
        strict_typing: bool = True,
        changes: Mapping[str, Any] | None = None,
        config_source: Any = None,
        config_source_silent: bool = False,
        namespace: str | None = None,
        loader: type[BaseLoader] | str | None = None,
        **settings: Any,
    ) -> None:
        named = {"broker_url": broker, "result_backend": backend, "include": include}
        named = {name: value for name, value in named.items() if value is not None}
        self.main = main
        self._loader = loader
        self._set_up_settings(
            changes or {}, settings, named, source=config_source, silent=config_source_silent, namespace=namespace
        )
        self._set_up_tasks(task_cls, autofinalize=autofinalize, strict_typing=strict_typing)
        self.builder = Builder(self)
        self.sender = Sender(self, self.builder)
        self.eager = Eager(self)
        self.canvas = Composing(self)
        self.on_after_fork = Signal(name="app.on_after_fork")
        self._stores: _Stores | None = None
        self._bus: tuple[Broker, Bus] | None = None
        if set_as_current:
            self.set_current()
        self.on_init()
        living_apps.add(self)

    def on_init(self) -> None:
        """Be called at the end of `__init__`, for subclasses."""

    def __reduce_keys__(self) -> dict[str, Any]:
        """Return the arguments with which an app like this one is made elsewhere; a subclass may add its own."""
        own = {
            "task_cls": vars(self).get("task_cls"),
            "strict_typing": self.strict_typing,
            **({"loader": self._loader} if self._loader is not None else {}),
        }
        return {**super().__reduce_keys__(), **own}

    # -- sending ------------------------------------------------------------------------------------------------

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[Any]:
        """Send a call of a task by name; the task need not be known here.

        Args:
            name: of the task.
            args: positional arguments; whether they fit the task is not checked.
            kwargs: keyword arguments, likewise.
            task_id: the id to use; None makes one.
            options: see `CallOptions`.

        Raises:
            TypeError: the name is no text, `args` no list or tuple, or `kwargs` no dict.
            EncodeError: an argument cannot be carried; the text names it.
            BrokerUnavailable: no confirmation in time.
        """
        check_task_name(name)
        args, kwargs = arguments_of(args, kwargs)
        self._warn_of_eager()
        return self.sender.send(name, args, kwargs, options, task_id=task_id)

    async def asend_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> Result[Any]:
        """Do what `send_task` does without blocking the event loop."""
        check_task_name(name)
        args, kwargs = arguments_of(args, kwargs)
        self._warn_of_eager()
        return await self.sender.asend(name, args, kwargs, options, task_id=task_id)

    @property
    def hands_on_calls(self) -> bool:
        """Whether `send_task` is another than here, of a subclass or patched: then all calls go through it."""
        return type(self).send_task is not _SEND_TASK or "send_task" in vars(self)

    def _warn_of_eager(self) -> None:
        if self.conf.task_always_eager:
            warnings.warn(
                "task_always_eager has no effect on calls by name: this one is published",
                AlwaysEagerIgnored,
                stacklevel=3,
            )

    def signature(self, *args: Any, **kwargs: Any) -> Signature[Any]:
        """Return a call that is not made yet, for this app to send; see `celeriac.canvas.Signature`."""
        return signature(*args, **{**kwargs, "app": self})

    @property
    def oid(self) -> str:
        """An id of this app in this process."""
        return oid_of_process(self)

    @property
    def thread_oid(self) -> str:
        """An id of this app in this thread: where answers to its calls go, on brokers that carry answers.

        Where results are sent (`rpc://`), all threads of a process have one queue for them.
        """
        backend = self.backend
        answers_to = None if backend is None else backend.answers_to()
        return oid_of_thread(self) if answers_to is None else answers_to

    @cached_property
    def loader(self) -> BaseLoader:
        """Imports the modules of the app's tasks; of the class that the app names, if any."""
        loader = loader_class(self._loader, self.loader_cls)(self)
        connect_hooks(loader)
        return loader

    def _before_settings(self) -> None:
        super()._before_settings()
        if (self._loader or self.loader_cls or os.environ.get(VARIABLE)) and self.conf.source is None:
            loader = self.loader
            source = source_of(loader) if says_settings(type(loader)) else None
            if source is not None:
                self.conf.read_object(source)

    @cached_property
    def AsyncResult(self) -> type[Result[Any]]:
        """The class of results of this app: ``app.AsyncResult(id)`` is the result of the call of that id."""
        return bound_class(self)

    @cached_property
    def GroupResult(self) -> type[GroupOfResults]:
        """The class of results of groups of this app."""
        return group_class(self)

    @cached_property
    def ResultSet(self) -> type[SetOfResults]:
        """The class of sets of results of this app."""
        return set_class(self)

    def write_group(self, result: GroupOfResults) -> bytes:
        """Write what `GroupResult.save` keeps."""
        return write_group(result.as_tuple(), self.conf.record_form)

    def read_group(self, record: bytes) -> GroupOfResults:
        """Read what `write_group` has written, or Celery."""
        found: GroupOfResults = result_from_tuple(read_group(record, self.conf.record_form), self)
        return found

    def note_state(
        self,
        task: BaseTask[..., Any],
        task_id: str | None,
        state: str | None,
        meta: Any,
        fields: Mapping[str, Any],
    ) -> None:
        """Store what `Task.update_state` says; nothing when it says it outside of any run."""
        context = task.request
        wanted = task_id or context.id
        backend = self.backend
        if wanted is None or backend is None:
            return
        name = state or PENDING
        record = Recorder(self.conf).state(context, name, meta, task_id=wanted, more=fields)
        retries = context.retries if wanted == context.id else _attempt_of(wanted, backend)
        own = wanted == context.id
        backend.note(
            [
                ResultMeta(
                    task_id=wanted,
                    state=name,
                    record=record,
                    retries=retries,
                    reply_to=context.reply_to if own else None,
                    correlation_id=context.correlation_id if own else None,
                )
            ]
        )

    def bugreport(self) -> str:
        """Return what to paste into a bug report: versions, platform, stores, settings that are not at their defaults.

        Raises:
            ImproperlyConfigured: the settings cannot be read.
        """
        return bugreport(self)

    def now(self) -> datetime:
        """Return the time in the app's zone."""
        return datetime.now(self.conf.zone)

    def worker_main(self, argv: Sequence[str] | None = None) -> int:
        """Run a worker until it is stopped, and return its exit code: ``app.worker_main(["worker", "-c", "2"])``.

        Args:
            argv: the command ``worker`` and its options; None is what this program was given.
        """
        return run_worker(self, argv)

    def start(self, argv: Sequence[str] | None = None) -> int:
        """Run any command of the command line, and return its exit code."""
        return run_command(self, argv)

    def uses_utc_timezone(self) -> bool:
        """Say whether times without a zone are in UTC."""
        return self.conf.zone is UTC or str(self.conf.zone) == "UTC"

    @property
    def timezone(self) -> tzinfo:
        """The app's zone."""
        return self.conf.zone

    def either(self, default_key: str, *defaults: Any) -> Any:
        """Return the first of `defaults` that is not None, else a setting."""
        return next((value for value in defaults if value is not None), self.conf.get(default_key))

    def set_current(self) -> None:
        """Be the app that is meant where none is named."""
        set_current_app(self)

    def set_default(self) -> None:
        """Be that app where none was set current."""
        set_default_app(self)

    @property
    def current_worker_task(self) -> BaseTask[..., Any] | None:
        """The task that a worker runs here, past any that it called as functions; None outside of a worker."""
        context = worker_context()
        return context.current if context is not None else None

    @property
    def current_task(self) -> BaseTask[..., Any] | None:
        """The task whose body is running in this thread or coroutine, or None."""
        return running_task()

    @property
    def broker(self) -> Broker:
        """The broker from which workers read (`broker_url`, `broker_read_url`); it connects when it is used."""
        return self._stores_now().broker

    @property
    def write_broker(self) -> Broker:
        """The broker to which messages are sent: the same one, unless `broker_write_url` names another."""
        return self._stores_now().write_broker

    @property
    def bus(self) -> Bus:
        """The bus of the broker's place, for what may be lost; it connects when it is used."""
        broker, made = self.broker, self._bus
        if made is not None and made[0] is broker:
            return made[1]
        self._bus = broker, broker.bus()
        if made is not None:
            made[1].close()
        return self._bus[1]

    @property
    def backend(self) -> ResultBackend | None:
        """Where results are kept; None when they are not."""
        return self._stores_now().backend

    @cached_property
    def steps(self) -> dict[str, set[type]]:
        """What nodes start and stop beside all else: classes of `celeriac.bootsteps`, under "worker" or "consumer"."""
        return defaultdict(set)

    @cached_property
    def user_options(self) -> dict[str, set[Any]]:
        """Options of your own for the command line: `click.Option` objects, under "worker" or "preload"."""
        return defaultdict(set)

    @cached_property
    def clock(self) -> LamportClock:
        """The logical clock, which orders what nodes and programs say to each other."""
        return LamportClock()

    @cached_property
    def events(self) -> Events:
        """What tells and hears events: ``app.events.Receiver(handlers={"*": print}).capture()``."""
        return events_of(self)

    @cached_property
    def amqp(self) -> AMQP:
        """The queues there are, and what decides where calls go: ``app.amqp.queues``, ``app.amqp.router``."""
        return AMQP(self)

    def declare(self, queue: Queue) -> None:
        """Have the broker know of a queue, and of what leads to it, before a message needs it."""
        self._stores_now().declare([queue])

    def note_queue(self, queue: Queue) -> None:
        """Be told that a queue has come to those that there are."""
        self.builder.forget_rules()
        if self._stores is not None:
            self._stores.declare([queue])

    def select_queues(self, queues: str | Sequence[str] | None = None) -> None:
        """Have a node in this process consume only these queues."""
        self.amqp.queues.select(queues)

    @cached_property
    def log(self) -> Logging:
        """What sets logging up: ``app.log.setup(loglevel="INFO")``. Workers do it by themselves."""
        return Logging(self)

    @cached_property
    def control(self) -> Control:
        """What tells nodes what to do: ``app.control.revoke(id)``."""
        return Control(self)

    @property
    def dead_letters(self) -> DeadLetters:
        """What could not be run or settled: to look at, to replay, to discard."""
        return DeadLetters(self)

    def close(self) -> None:
        """Let go of connections. What is used later connects again."""
        stores, self._stores = self._stores, None
        self.builder.forget_rules()  # with them goes what was declared
        bus, self._bus = self._bus, None
        if bus is not None:
            bus[1].close()
        if stores is not None:
            _close(stores)

    def _stores_now(self) -> _Stores:
        """Return the adapters, made anew when the settings have changed.

        There is no lock: adapters connect when they are used, so two that are made at once cost nothing; and a lock
        that another thread holds at a fork would stay held in the child.
        """
        stores = self._stores
        if stores is not None and stores.version == self.conf.version:
            return stores
        made = self._make_stores(stores)
        self._stores = made
        if stores is not None and made.broker is not stores.broker:
            _close(stores)
        return made

    def _make_stores(self, old: _Stores | None) -> _Stores:
        conf = self.conf
        version = conf.version
        said = tuple(conf[name] for name in SETTINGS_OF_STORES)
        if old is not None and old.said == said:
            broker, write_broker, backend = old.broker, old.write_broker, old.backend
        else:
            read_url, write_url = conf.broker_read_url, conf.broker_write_url
            broker = make_broker(read_url, conf, self.main)
            write_broker = broker if write_url == read_url else make_broker(write_url, conf, self.main)
            backend = make_backend(conf.result_backend, read_url, conf, self.main)
        made = _Stores(version, said, broker, write_broker, backend)
        made.declare(self.amqp.queues.values())
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    if not TYPE_CHECKING:  # a type checker that saw it would know of every misspelled attribute

        def __getattr__(self, name: str) -> Any:
            if hasattr(type(self), name):  # a property of that name raised AttributeError: have it say why again
                return object.__getattribute__(self, name)
            raise missing_of_app(self.__dict__.get("main"), name, dir(type(self)))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.main or 'without a name'}: {len(self._tasks.own())} tasks>"


_SEND_TASK: Final = Celery.send_task


def _attempt_of(task_id: str, backend: ResultBackend) -> int:
    """Return the attempt that a run elsewhere has come to, as its record tells."""
    kept = backend.get(task_id)
    return 0 if kept is None else kept.retries + (kept.state == RETRY)


def _after_fork() -> None:
    for app in list(living_apps):
        if app.on_after_fork.receivers:
            app.on_after_fork.send(sender=app)


os.register_at_fork(after_in_child=_after_fork)


def _close(stores: _Stores) -> None:
    stores.broker.close()
    if stores.write_broker is not stores.broker:
        stores.write_broker.close()
    if stores.backend is not None:
        stores.backend.close()
