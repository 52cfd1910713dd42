"""The part of an app that is about its tasks: made of functions and classes, registered, found, completed."""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar, Unpack, cast, overload

from celeriac.app.annotating import annotate, read_annotations
from celeriac.app.autodiscovery import import_related
from celeriac.app.builtin_tasks import add_builtin_tasks
from celeriac.app.config import Settings
from celeriac.app.hiding import hiding_of
from celeriac.app.imports import import_tasks, imported
from celeriac.app.members import JOIN_TASK
from celeriac.app.naming import task_name
from celeriac.app.pydantic_tasks import add_pydantic
from celeriac.app.registry import Registry
from celeriac.app.shared import give_shared_tasks
from celeriac.app.signals import Signal, import_modules
from celeriac.app.task import Task as BaseTask
from celeriac.app.task import make_task
from celeriac.app.task_options import TaskOptions, ack_late, read_task_class, read_task_options
from celeriac.exceptions import DuplicateTaskNameWarning, ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.app.application import Celery
    from celeriac.app.typed import AsyncTask, BoundTaskDecorator, TaskDecorator

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class Registering:
    """Have tasks.

    Attributes:
        main: name of the app.
        conf: its settings.
        task_cls: the class that its tasks are made of, or the dotted path of one.
        autofinalize: complete the tasks at their first use; False waits for `finalize`.
        strict_typing: check the arguments of calls, unless a task says otherwise.
        finalized: the tasks are complete.
        on_after_finalize: sent when they have become so.
    """

    main: str | None
    conf: Settings
    task_cls: type[BaseTask[..., Any]] | str = BaseTask

    def _set_up_tasks(
        self, task_cls: type[BaseTask[..., Any]] | str | None, *, autofinalize: bool, strict_typing: bool
    ) -> None:
        if task_cls is not None:
            self.task_cls = task_cls
        self.strict_typing = strict_typing
        self.autofinalize = autofinalize
        self.finalized = False
        self.on_after_finalize = Signal(name="app.on_after_finalize")
        self._tasks = Registry()
        self._not_annotated: deque[BaseTask[..., Any]] = deque()
        self._finalizing = threading.RLock()
        self._is_finalizing = False

    @overload
    def task(self, function: Callable[P, Coroutine[Any, Any, T]], /) -> AsyncTask[P, T]: ...

    @overload
    def task(self, function: Callable[P, R], /) -> BaseTask[P, R]: ...

    @overload
    def task(
        self, /, *, bind: Literal[True], base: type[BaseTask[..., Any]] | None = None, **options: Unpack[TaskOptions]
    ) -> BoundTaskDecorator: ...

    @overload
    def task(
        self,
        /,
        *,
        bind: Literal[False] = False,
        base: type[BaseTask[..., Any]] | None = None,
        **options: Unpack[TaskOptions],
    ) -> TaskDecorator: ...

    def task(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Make a task of a function: ``@app.task``, or ``@app.task(bind=True, max_retries=5)``.

        Args:
            function: what to run; a coroutine function too.
            bind: give the task itself to the function as its first argument.
            base: the class to make it of, with hooks and attributes of its own; None: `app.Task`.
            options: see `TaskOptions`; also attributes that `base` has.
        """
        if function is None:
            return lambda function: self._task_of(function, **options)
        return self._task_of(function, **options)

    def _task_of(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        base: type[BaseTask[..., Any]] | None = None,
        bind: bool = False,
        shared: bool = True,
        lazy: bool = True,
        filter: Callable[[Any], Any] | None = None,
        **options: Any,
    ) -> BaseTask[..., Any]:
        if isinstance(function, BaseTask):
            raise TypeError(f"{function!r} is a task already; decorate the function once")
        if not callable(function):
            raise TypeError(f"@app.task makes tasks of functions, got {function!r}; options are given by name")
        base = base or self.Task
        name = name or self._name_for(function)
        said = read_task_options(f"task {name!r}", options, base)
        task = self._keep(make_task(cast("Celery", self), function, name=name, base=base, bind=bind, options=said))
        return task if filter is None else filter(task)

    def register_task(self, task: BaseTask[P, R] | type[BaseTask[P, R]], **options: Any) -> BaseTask[P, R]:
        """Make a task of a class of tasks, or of an instance of one.

        Its name is the class's attribute `name`, or made of module and class. Unlike with the decorator, a later task
        takes the name of an earlier one.

        Args:
            options: see `TaskOptions`.
        """
        if isinstance(task, type):
            task = task()
        kind = type(task)
        vars(task)["app"] = self
        vars(task).setdefault("__name__", kind.__name__)
        if task.typing is None:
            task.typing = self.strict_typing
        task.name = task.name or self.gen_task_name(kind.__name__, kind.__module__)
        read_task_class(f"task {task.name!r}", kind)
        for option, value in read_task_options(f"task {task.name!r}", options, kind).items():
            setattr(task, option, value)
        hiding_of(task)
        self._tasks.replace(task)
        self._bind(task)
        return task

    def _keep(self, task: BaseTask[..., Any]) -> BaseTask[..., Any]:
        """Register a task, bind it to this app, and return the one that has its name now."""
        hiding_of(task)  # raises where `sensitive` names no argument: here, and not once an argument has been shown
        kept = self._tasks.register(task)
        if kept is task:
            self._bind(task)
            return task
        warnings.warn(
            f"two functions claim the task name {task.name!r}: {kept.origin} keeps it, and {task.origin} cannot be "
            "called; give one of them another name with @app.task(name=...)",
            DuplicateTaskNameWarning,
            stacklevel=4,
        )
        return kept

    def _bind(self, task: BaseTask[..., Any]) -> None:
        if task.concurrency_limit is not None:
            ack_late(task)
        if task.pydantic:
            add_pydantic(task)
        self._not_annotated.append(task)
        if self.finalized:
            self._annotate(read_annotations(self.conf.task_annotations))
        task.on_bound(cast("Celery", self))

    @property
    def tasks(self) -> Registry:
        """The registered tasks, by name."""
        if not self.finalized:
            self.finalize(auto=True)
        return self._tasks

    def finalize(self, auto: bool = False) -> None:
        """Complete the tasks: shared ones are added, `task_annotations` applied. Happens by itself at the first use.

        Other threads that use the tasks meanwhile wait until they are complete.

        Raises:
            RuntimeError: it would happen by itself, and the app was made with ``autofinalize=False``.
            ImproperlyConfigured: the settings are wrong; the tasks are not complete, and the next use says so again.
        """
        if auto and not (self.autofinalize or self.finalized or self._is_finalizing):
            raise RuntimeError(f"app {self.main!r} was used before its `finalize` (autofinalize=False)")
        annotations = read_annotations(self.conf.task_annotations)  # before the lock: it may import modules
        with self._finalizing:
            if self.finalized or self._is_finalizing:  # the latter: what happens in here uses the tasks
                return
            self._is_finalizing = True
            try:
                add_builtin_tasks(cast("Celery", self))
                give_shared_tasks(cast("Celery", self))
                self._annotate(annotations)
            finally:
                self._is_finalizing = False
            self.finalized = True
            self._annotate(annotations)  # what another thread has made while it could not know of the end
            self.on_after_finalize.send(sender=self)

    def _annotate(self, annotations: Sequence[Any]) -> None:
        """Annotate the tasks that are not yet: each once, whichever threads are at it."""
        while True:
            try:
                task = self._not_annotated.popleft()
            except IndexError:
                return
            try:
                if task.name != JOIN_TASK:  # what is meant for all tasks of a program must keep no chord from its end
                    annotate(task, annotations)
            except BaseException:
                self._not_annotated.appendleft(task)
                raise

    @cached_property
    def Task(self) -> type[BaseTask[..., Any]]:
        """The class that tasks of this app are made of, bound to it: `task_cls`, or `Task`."""
        return self.create_task_cls()

    def create_task_cls(self) -> type[BaseTask[..., Any]]:
        """Return a class of tasks that belongs to this app."""
        kind: type[BaseTask[..., Any]] = self.subclass_with_self(self.task_cls)
        return kind

    def subclass_with_self(
        self,
        Class: type | str,  # noqa: N803 - Celery's name
        name: str | None = None,
        attribute: str = "app",
        reverse: str | None = None,
        keep_reduce: bool = False,
        **kw: Any,
    ) -> Any:
        """Return a subclass of a class that has this app as an attribute, for a `create_task_cls` of a program's own.

        Args:
            Class: the class, or its dotted path.
            name: of the subclass; None: as the class is called.
            attribute: which attribute; that of tasks is `app`, which may be called `_app` too, as in Celery.
            reverse, keep_reduce: accepted for Celery's sake.
            kw: further attributes.
        """
        base = imported(Class, name or "task_cls") if isinstance(Class, str) else Class
        own: dict[str, Any] = {attribute: self}
        if attribute == "_app" and issubclass(base, BaseTask):
            own["app"] = self
        own |= {"__module__": base.__module__, "__doc__": base.__doc__}
        return type(name or base.__name__, (base,), {**own, **kw})

    def _name_for(self, function: Callable[..., Any]) -> str:
        name = getattr(function, "__name__", None)
        if name is None:
            raise TypeError(f"{function!r} has no name of its own; give it one with @app.task(name=...)")
        return self.gen_task_name(name, function.__module__)

    def gen_task_name(self, name: str, module: str) -> str:
        """Return the name of a task for a function; override it to name tasks otherwise."""
        return task_name(name, module, self.main)

    def autodiscover_tasks(
        self,
        packages: Iterable[str] | Callable[[], Iterable[str]] | None = None,
        related_name: str | None = "tasks",
        force: bool = False,
    ) -> None:
        """Have the module ``tasks`` of each package imported when task modules are, that is when a worker starts.

        Args:
            packages: their names, or a function that returns them when they are needed.
            related_name: the module's name; None imports the packages themselves.
            force: import now.

        Raises:
            ModuleMissing: with `force`, a package is not there.
            ModuleFailed: likewise, such a module raises when it is imported.
        """

        def discover() -> None:
            import_related(packages() if callable(packages) else packages or (), related_name)

        def discover_when_asked(**_: Any) -> ImproperlyConfigured | None:
            try:
                discover()
            except ImproperlyConfigured as error:  # returned, because what receivers raise is logged as their fault
                return error
            return None

        if force:
            discover()
        else:
            import_modules.connect(discover_when_asked, sender=self, weak=False)

    def load_tasks(self) -> None:
        """Import the modules of `imports` and `include` and those to be discovered, so that `tasks` is complete.

        Workers call it. What is imported is up to the app's loader.

        Raises:
            ImproperlyConfigured: one is not there, or raises; the text has its traceback.
        """
        cast("Celery", self).loader.import_default_modules()
        self.finalize()

    def import_named_modules(self) -> None:
        """Import the modules of `imports` and `include` and those to be discovered.

        Raises:
            ImproperlyConfigured: one is not there, or raises; the text has its traceback.
        """
        for setting in ("imports", "include"):
            for module in self.conf[setting]:
                import_tasks(module, f"`{setting}`")
        for _, answer in import_modules.send(sender=self):
            if isinstance(answer, ImproperlyConfigured):
                raise answer
