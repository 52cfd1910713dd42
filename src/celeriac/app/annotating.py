"""`task_annotations`: change attributes of tasks from the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import TYPE_CHECKING, Any

from celeriac.app.imports import imported
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    from celeriac.app.task import Task


def read_annotations(said: Any) -> list[Any]:
    """Return what `task_annotations` says as a list of dicts and objects, those imported that are given by a path."""
    if not said:
        return []
    return [_imported(one) for one in (said if isinstance(said, (list, tuple)) else [said])]


def annotate(task: Task[..., Any], annotations: Sequence[Any]) -> None:
    """Apply what `task_annotations` says of a task: what names it first, then what is for all (``*``).

    A value is an attribute. A function becomes a method of the task; under ``@name`` it becomes a wrapper, that is
    called with the method as its class has it, and returns what takes its place.

    Args:
        annotations: dicts of task names and dicts, objects with `annotate(task)` or `annotate_any()`.
    """
    for one in annotations:
        for changes in _changes_for(task, one):
            for name, value in (changes or {}).items():
                _apply(task, name, value)


def _changes_for(task: Task[..., Any], annotation: Any) -> list[Mapping[str, Any] | None]:
    if isinstance(annotation, Mapping):
        return [annotation.get(task.name), annotation.get("*")]
    named = getattr(annotation, "annotate", None)
    general = getattr(annotation, "annotate_any", None)
    if named is None and general is None:
        raise ImproperlyConfigured(
            f"task_annotations must be dicts, or objects with `annotate` or `annotate_any`; got {annotation!r}"
        )
    return [named(task) if named else None, general() if general else None]


def _apply(task: Task[..., Any], name: str, value: Any) -> None:
    kind = type(task)  # each decorated task has a class of its own, and `task()` looks there
    if name.startswith("@"):
        name = name[1:]
        setattr(kind, name, value(getattr(kind, name)))
    elif isinstance(value, FunctionType):
        setattr(kind, name, value)
    else:
        setattr(task, name, value)


def _imported(annotation: Any) -> Any:
    if not isinstance(annotation, str):
        return annotation
    found = imported(annotation, "task_annotations")
    return found() if isinstance(found, type) else found
