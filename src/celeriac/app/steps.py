"""What an app has its nodes start and stop beside everything else: Celery's bootsteps, as far as they have a meaning.

A step is a class. It is added to ``app.steps["worker"]`` or ``app.steps["consumer"]``, and each node makes one object
of it, in the process of its supervisor. It is called there in a thread, beside the loop: it may block, and what it
starts runs beside the node.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, Final

from celeriac.exceptions import ImproperlyConfigured

_NO_CONSUMERS: Final = (
    "nodes of celeriac have no kombu consumers to add to: let `start` begin a thread that listens to your messages, "
    "or make a task of what is to be done with them"
)


class Step:
    """Take part in the start of a node.

    Args:
        parent: the node (`celeriac.worker.instance.Worker`).
        kwargs: options of the command line by name, those of `app.user_options` included.

    Attributes:
        name: what it is called, in logs and in `requires`; None is its class.
        label: a shorter name.
        conditional: it is only included when it says so by setting `enabled`.
        enabled: see `conditional`.
        requires: steps that start before it and stop after it: classes, their names, or dotted paths.
        last: it starts after all others.
    """

    name: ClassVar[str | None] = None
    label: ClassVar[str | None] = None
    conditional: ClassVar[bool] = False
    enabled: bool = True
    requires: Collection[Any] = ()
    last: ClassVar[bool] = False

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        pass

    def include_if(self, parent: Any) -> bool:
        """Say whether the node is to have it."""
        return bool(self.enabled)

    def instantiate(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        """Make an object of a class."""
        return name(*args, **kwargs)

    def include(self, parent: Any) -> bool:
        """Let `create` prepare what is to be started, where the node is to have it."""
        if not self.include_if(parent):
            return False
        self.create(parent)
        return True

    def create(self, parent: Any) -> Any:
        """Prepare what is to be started; what is returned is started and stopped by `StartStopStep`."""

    def info(self, obj: Any) -> Any:
        """Tell what `stats` is to show; not called here."""

    @property
    def alias(self) -> str:
        """A short name for people."""
        return self.label or step_name(type(self)).rpartition(".")[2]

    def __repr__(self) -> str:
        return f"<step: {self.alias}>"


class StartStopStep(Step):
    """Start with a node, and stop with it.

    Attributes:
        obj: what `create` has returned; it has `start`, `stop`, and perhaps `close` and `terminate`.
    """

    obj: Any = None

    def start(self, parent: Any) -> Any:
        """Be called before the node takes work. What it raises ends the node."""
        if self.obj is not None:
            return self.obj.start()
        return None

    def stop(self, parent: Any) -> Any:
        """Be called when the node takes no more work, after those steps that require this one."""
        if self.obj is not None:
            return self.obj.stop()
        return None

    def close(self, parent: Any) -> Any:
        """Be called before any step is stopped."""

    def terminate(self, parent: Any) -> Any:
        """Be called instead of `stop` when the node stops at once."""
        if self.obj is not None:
            return getattr(self.obj, "terminate", self.obj.stop)()
        return None

    def include(self, parent: Any) -> bool:
        if not self.include_if(parent):
            return False
        self.obj = self.create(parent)
        return True


class ConsumerStep(StartStopStep):
    """Start and stop beside the claiming of messages. Consumers of its own it cannot add."""

    requires = ("celery.worker.consumer:Connection",)

    def __init__(self, parent: Any, **kwargs: Any) -> None:
        super().__init__(parent, **kwargs)
        if type(self).get_consumers is not ConsumerStep.get_consumers:
            raise ImproperlyConfigured(f"step {step_name(type(self))} has get_consumers: {_NO_CONSUMERS}")

    def get_consumers(self, channel: Any) -> Any:
        """Raise: there are none.

        Raises:
            NotImplementedError: always; the text says what to do instead.
        """
        raise NotImplementedError(_NO_CONSUMERS)


def step_name(step: type) -> str:
    """Return what a class of steps is called."""
    return getattr(step, "name", None) or f"{step.__module__}.{step.__qualname__}"


def in_order(steps: Collection[type[Step]]) -> list[type[Step]]:
    """Return steps so that each follows those that it requires; those that nothing is said of, by name.

    What is required and is not among them (Celery's own steps) is there by then, or has no meaning here.

    Raises:
        ImproperlyConfigured: some of them require each other.
    """
    left = sorted(steps, key=lambda step: (bool(getattr(step, "last", False)), step_name(step)))
    found: list[type[Step]] = []
    while left:
        ready = next((step for step in left if not _missing(step, left)), None)
        if ready is None:
            raise ImproperlyConfigured(f"steps require each other: {', '.join(map(step_name, left))}")
        left.remove(ready)
        found.append(ready)
    return found


def _missing(step: type[Step], left: Collection[type[Step]]) -> bool:
    """Say whether a step requires one that is left; one that is to be last, whether any other is."""
    names = {_required(one) for one in getattr(step, "requires", None) or ()}
    others = [one for one in left if one is not step]
    if getattr(step, "last", False) and not all(getattr(one, "last", False) for one in others):
        return True
    return any(names & {step_name(one), f"{one.__module__}.{one.__qualname__}"} for one in others)


def _required(one: Any) -> str:
    return step_name(one) if isinstance(one, type) else str(one).replace(":", ".")
