"""Tasks with ``pydantic=True``: arguments become what they are annotated with, returned models become data.

Messages carry plain data. Where the body runs, a parameter that is annotated with a model (or with a dataclass or an
enum), or with `Optional` of one, gets it made and checked of that data; no class is ever found by a name in a message.
A caller may pass models: they are dumped when the call is sent.

Pydantic itself is imported at the first call, and the annotations are read then: they may name what is defined later.
"""

from __future__ import annotations

import functools
import inspect
import logging
import types
import typing
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import is_dataclass
from enum import Enum
from importlib import import_module
from importlib.util import find_spec
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.app.task import Task

logger: Final = logging.getLogger("celeriac.app")

_BY_POSITION: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_BY_KEYWORD: Final = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)


class _Expected(msgspec.Struct, frozen=True):
    """Say what a parameter expects.

    Attributes:
        kind: a model, dataclass or enum.
        optional: None is fine too.
        validate: makes it of data; what `model_validate` takes besides, this takes too.
    """

    kind: type
    optional: bool
    validate: Callable[..., Any]


class Models:
    """Know the models among a task's parameters.

    Args:
        function: the task's body, bound to the task if it is to get that for its first argument.
        app: whose task it is, for validators (`celery_app` in their context).
        task_name: likewise (`celery_task_name`).
        strict: pydantic's strict mode; None leaves it to the models.
        context: what validators get besides.
        dump_kwargs: what `model_dump` gets besides ``mode="json"``.

    Raises:
        ImproperlyConfigured: pydantic is not installed.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        app: object,
        task_name: str,
        strict: bool | None = None,
        context: Mapping[str, Any] | None = None,
        dump_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        if find_spec("pydantic") is None:
            raise ImproperlyConfigured(
                f'task {task_name!r} says pydantic=True, which needs a library: pip install "celeriac[pydantic]"'
            )
        self._function = function
        self._signature = inspect.signature(function)
        self._task_name = task_name
        self._strict = strict
        self._context = {**(context or {}), "celery_app": app, "celery_task_name": task_name}
        self._dump_kwargs = {"mode": "json", **(dump_kwargs or {})}

    def wrap(self) -> Callable[..., Any]:
        """Return the body as it is to be run: on data, returning data. Of a coroutine function it makes one too."""
        function = self._function
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__):

            @functools.wraps(function)
            async def run_async(*args: Any, **kwargs: Any) -> Any:
                args, kwargs = self.validate(args, kwargs)
                return self.dump(await function(*args, **kwargs))

            return run_async

        @functools.wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            args, kwargs = self.validate(args, kwargs)
            value = function(*args, **kwargs)
            return self._dump_later(value) if inspect.iscoroutine(value) else self.dump(value)

        return run

    async def _dump_later(self, value: Coroutine[Any, Any, Any]) -> Any:
        return self.dump(await value)

    def validate(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return the arguments as the body wants them.

        Raises:
            TypeError: they do not fit the body.
            pydantic.ValidationError: one of them is not what it should be.
        """
        bound = self._signature.bind(*args, **kwargs)
        for name, value in bound.arguments.items():
            expected = self._expected.get(name)
            if expected is not None and not (expected.optional and value is None):
                bound.arguments[name] = self._validate(expected, value)
        return bound.args, bound.kwargs

    def _validate(self, expected: _Expected, value: Any) -> Any:
        return expected.validate(value, strict=self._strict, context=self._context)

    def dump(self, value: Any) -> Any:
        """Return data in place of a model that the body has returned; anything else as it is."""
        return value.model_dump(**self._dump_kwargs) if isinstance(value, self._model) else value

    def dump_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the arguments of a call with data in place of models.

        Only models that the body would get back as they were are dumped, as in Celery. Others are left to the
        serializer, which may know them, and else names them.
        """
        if not any(isinstance(value, self._model) for value in (*args, *kwargs.values())):
            return args, kwargs
        parameters = self._signature.parameters.values()
        names = [one.name for one in parameters if one.kind in _BY_POSITION]
        by_keyword = {one.name for one in parameters if one.kind in _BY_KEYWORD}
        names += [""] * (len(args) - len(names))
        dumped = [self._dump_argument(name, value) for name, value in zip(names, args, strict=False)]
        return dumped, {
            name: self._dump_argument(name, value) if name in by_keyword else value for name, value in kwargs.items()
        }

    def _dump_argument(self, name: str, value: Any) -> Any:
        expected = self._expected.get(name)
        if expected is None or not isinstance(value, self._model) or hasattr(type(value), "__json__"):
            return value
        try:
            dumped = value.model_dump(**self._dump_kwargs)
            return dumped if self._validate(expected, dumped) == value else value
        except Exception as exc:  # noqa: BLE001 - validators are code of users, and some only work in a worker
            logger.debug("argument %s of task %s is not dumped: %r", name, self._task_name, exc)
            return value

    @functools.cached_property
    def _model(self) -> type[Any]:
        return cast("type[Any]", import_module("pydantic").BaseModel)

    @functools.cached_property
    def _expected(self) -> dict[str, _Expected]:
        """What the parameters expect, as far as it is a model, dataclass or enum."""
        found = {}
        for name, parameter in self._signature.parameters.items():
            if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                continue
            kind, optional = _without_none(self._resolve(name, parameter.annotation))
            if isinstance(kind, type) and issubclass(kind, self._model):
                found[name] = _Expected(kind, optional, cast("Any", kind).model_validate)
            elif isinstance(kind, type) and (is_dataclass(kind) or issubclass(kind, Enum)):
                adapter = import_module("pydantic").TypeAdapter(kind)
                found[name] = _Expected(kind, optional, adapter.validate_python)
        return found

    def _resolve(self, name: str, annotation: Any) -> Any:
        """Return what an annotation that may be text means.

        Each for itself, so that one that is there for type checkers only does not take the others along.
        """
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        body: Any = inspect.unwrap(self._function)
        if not inspect.isroutine(body):
            body = inspect.unwrap(type(body).__call__)
        body = getattr(body, "__func__", body)
        try:
            seen = inspect.getclosurevars(body).nonlocals
            return typing.get_type_hints(holder, getattr(body, "__globals__", {}), dict(seen))[name]
        except (NameError, AttributeError, TypeError, SyntaxError) as exc:
            if isinstance(annotation, str):
                logger.warning(
                    "argument %s of task %s is not validated, because its annotation %r cannot be resolved: %s",
                    name,
                    self._task_name,
                    annotation,
                    exc,
                )
            return annotation


def _without_none(annotation: Any) -> tuple[Any, bool]:
    """Return what is optional in an annotation, and whether something is."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(annotation) if member is not types.NoneType]
        if len(members) == 1:
            return members[0], True
    return annotation, False


def add_pydantic(task: Task[..., Any]) -> None:
    """Have a task's body run on checked arguments, and its calls send data in place of models."""
    models = Models(
        task.run,
        app=task.app,
        task_name=task.name,
        strict=task.pydantic_strict,
        context=task.pydantic_context,
        dump_kwargs=task.pydantic_dump_kwargs,
    )
    task.models = models
    vars(task)["run"] = models.wrap()
