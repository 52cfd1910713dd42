"""The dict that a signature is: its keys as attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Parts(dict[str, Any]):
    """Have the keys ``task``, ``args``, ``kwargs``, ``options``, ``subtask_type`` and ``immutable`` as attributes."""

    @property
    def task(self) -> str:
        """Name of the task."""
        name: str = self["task"]
        return name

    @task.setter
    def task(self, value: str) -> None:
        self["task"] = value

    @property
    def args(self) -> Sequence[Any]:
        """Positional arguments."""
        args: Sequence[Any] = self["args"]
        return args

    @args.setter
    def args(self, value: Sequence[Any]) -> None:
        self["args"] = value

    @property
    def kwargs(self) -> dict[str, Any]:
        """Keyword arguments."""
        kwargs: dict[str, Any] = self["kwargs"]
        return kwargs

    @kwargs.setter
    def kwargs(self, value: dict[str, Any]) -> None:
        self["kwargs"] = value

    @property
    def options(self) -> dict[str, Any]:
        """What is given to `apply_async`."""
        options: dict[str, Any] = self["options"]
        return options

    @options.setter
    def options(self, value: dict[str, Any]) -> None:
        self["options"] = value

    @property
    def subtask_type(self) -> str | None:
        """Which subclass it is, for those that read the dict."""
        name: str | None = self["subtask_type"]
        return name

    @subtask_type.setter
    def subtask_type(self, value: str | None) -> None:
        self["subtask_type"] = value

    @property
    def immutable(self) -> bool:
        """Whether it takes no arguments later."""
        return bool(self["immutable"])

    @immutable.setter
    def immutable(self, value: bool) -> None:
        self["immutable"] = value

    @property
    def name(self) -> str:
        """Name of the task, as a task has it."""
        return self.task

    @property
    def id(self) -> str | None:
        """Id of the run, once it is frozen."""
        return self.options.get("task_id")

    @id.setter
    def id(self, value: str | None) -> None:
        self.options["task_id"] = value

    @property
    def parent_id(self) -> str | None:
        """Id of the task that leads to this one, if that is settled."""
        return self.options.get("parent_id")

    @parent_id.setter
    def parent_id(self, value: str | None) -> None:
        self.options["parent_id"] = value

    @property
    def root_id(self) -> str | None:
        """Id of the first task of the workflow, if that is settled."""
        return self.options.get("root_id")

    @root_id.setter
    def root_id(self, value: str | None) -> None:
        self.options["root_id"] = value
