"""The app: what a program makes one of, and everything else hangs on."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar, Unpack, overload

import msgspec

from celeriac.app.arguments import arguments_of, check_task_name
from celeriac.app.config import Settings
from celeriac.app.context import running_task
from celeriac.app.current import set_current_app
from celeriac.app.imports import import_tasks
from celeriac.app.oids import oid_of_process, oid_of_thread
from celeriac.app.options import CallOptions
from celeriac.app.registry import Registry
from celeriac.app.result import AsyncResult
from celeriac.app.send import Sender
from celeriac.app.stores import SETTINGS_OF_STORES, make_backend, make_broker
from celeriac.app.task import Task
from celeriac.app.task_options import TaskOptions
from celeriac.backends.base import ResultBackend
from celeriac.brokers.base import Broker
from celeriac.canvas.signature import Signature, signature
from celeriac.exceptions import DuplicateTaskNameWarning

P = ParamSpec("P")
R = TypeVar("R")


class _Stores(msgspec.Struct, frozen=True):
    """Hold the adapters that were made for what the settings said."""

    version: int
    said: tuple[Any, ...]
    broker: Broker
    backend: ResultBackend | None


class Celery:
    """Register tasks, and send calls of them.

    Args:
        main: name of the app; it stands for ``__main__`` in the names of tasks.
        broker: `broker_url`.
        backend: `result_backend`.
        include: modules that define tasks.
        set_as_current: be the app that is meant where none is named.
        settings: any other setting.

    Attributes:
        main: the name given.
        conf: the settings.
        tasks: the registered tasks, by name.
        sender: makes and publishes messages.
    """

    def __init__(
        self,
        main: str | None = None,
        *,
        broker: str | None = None,
        backend: str | None = None,
        include: str | Sequence[str] | None = None,
        set_as_current: bool = True,
        **settings: Any,
    ) -> None:
        named = {"broker_url": broker, "result_backend": backend, "include": include}
        self.main = main
        self.conf = Settings({**{name: value for name, value in named.items() if value is not None}, **settings})
        self.tasks = Registry()
        self.sender = Sender(self)
        self._stores: _Stores | None = None
        if set_as_current:
            self.set_current()

    @overload
    def task(self, function: Callable[P, R], /) -> Task[P, R]: ...

    @overload
    def task(
        self, /, *, bind: Literal[True], **options: Unpack[TaskOptions]
    ) -> Callable[[Callable[Concatenate[Any, P], R]], Task[P, R]]: ...

    @overload
    def task(
        self, /, *, bind: Literal[False] = False, **options: Unpack[TaskOptions]
    ) -> Callable[[Callable[P, R]], Task[P, R]]: ...

    def task(self, function: Callable[..., Any] | None = None, /, *, bind: bool = False, **options: Any) -> Any:
        """Make a task of a function: ``@app.task``, or ``@app.task(bind=True, max_retries=5)``.

        Args:
            function: what to run; a coroutine function too.
            bind: give the task itself to the function as its first argument.
            options: see `TaskOptions`.
        """

        def register(function: Callable[..., Any]) -> Task[..., Any]:
            return self._register(function, bind, **options)

        return register if function is None else self._register(function, bind, **options)

    def _register(
        self, function: Callable[..., Any], bind: bool, *, name: str | None = None, **options: Any
    ) -> Task[..., Any]:
        if isinstance(function, Task):
            raise TypeError(f"{function!r} is a task already; decorate the function once")
        if not callable(function):
            raise TypeError(f"@app.task makes tasks of functions, got {function!r}; options are given by name")
        name = name or self._name_for(function)
        task: Task[..., Any] = Task(self, function, name=name, bind=bind, options=options)
        kept = self.tasks.register(task)
        if kept is not task:
            warnings.warn(
                f"two functions claim the task name {name!r}: {kept.origin} keeps it, and {task.origin} cannot be "
                "called; give one of them another name with @app.task(name=...)",
                DuplicateTaskNameWarning,
                stacklevel=3,
            )
        return kept

    def _name_for(self, function: Callable[..., Any]) -> str:
        name = getattr(function, "__name__", None)
        if name is None:
            raise TypeError(f"{function!r} has no name of its own; give it one with @app.task(name=...)")
        return self.gen_task_name(name, function.__module__)

    def gen_task_name(self, name: str, module: str) -> str:
        """Return the name of a task for a function; override it to name tasks otherwise."""
        if module == "__main__":
            module = self.main or _module_run_as_main()
        return f"{module}.{name}" if module else name

    def send_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[Any]:
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
        return self.sender.send(name, args, kwargs, options, task_id=task_id)

    async def asend_task(
        self,
        name: str,
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
        *,
        task_id: str | None = None,
        **options: Unpack[CallOptions],
    ) -> AsyncResult[Any]:
        """Do what `send_task` does without blocking the event loop."""
        check_task_name(name)
        args, kwargs = arguments_of(args, kwargs)
        return await self.sender.asend(name, args, kwargs, options, task_id=task_id)

    def signature(self, *args: Any, **kwargs: Any) -> Signature[Any]:
        """Return a call that is not made yet, for this app to send; see `celeriac.canvas.Signature`."""
        return signature(*args, **{**kwargs, "app": self})

    @property
    def oid(self) -> str:
        """An id of this app in this process."""
        return oid_of_process(self)

    @property
    def thread_oid(self) -> str:
        """An id of this app in this thread: where answers to its calls go, on brokers that carry answers."""
        return oid_of_thread(self)

    def AsyncResult(self, task_id: str) -> AsyncResult[Any]:
        """Return the result of the call of that id."""
        return AsyncResult(task_id, app=self)

    def load_tasks(self) -> None:
        """Import the modules of `imports` and `include`, so that `tasks` is complete. Workers call it.

        Raises:
            ImproperlyConfigured: one is not there, or raises; the text has its traceback.
        """
        for setting in ("imports", "include"):
            for module in self.conf[setting]:
                import_tasks(module, f"`{setting}`")

    def now(self) -> datetime:
        """Return the time in the app's zone."""
        return datetime.now(self.conf.zone)

    def set_current(self) -> None:
        """Be the app that is meant where none is named."""
        set_current_app(self)

    @property
    def current_task(self) -> Task[..., Any] | None:
        """The task whose body is running in this thread or coroutine, or None."""
        return running_task()

    @property
    def broker(self) -> Broker:
        """The broker of `broker_url`; it connects when it is used."""
        return self._stores_now().broker

    @property
    def backend(self) -> ResultBackend | None:
        """Where results are kept; None when they are not."""
        return self._stores_now().backend

    def close(self) -> None:
        """Let go of connections. What is used later connects again."""
        stores, self._stores = self._stores, None
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
            return _Stores(version, said, old.broker, old.backend)
        return _Stores(
            version,
            said,
            make_broker(conf.broker_url, conf, self.main),
            make_backend(conf.result_backend, conf.broker_url, conf, self.main),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.main or 'without a name'}: {len(self.tasks)} tasks>"


def _close(stores: _Stores) -> None:
    stores.broker.close()
    if stores.backend is not None:
        stores.backend.close()


def _module_run_as_main() -> str:
    """Return the name by which a worker is likely to import the module that runs as ``__main__``."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name).removesuffix(".__main__")
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else "__main__"
