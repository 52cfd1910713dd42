"""The picture that events draw: nodes and tasks, as many of each as fit into memory."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar

from celeriac.app.events import seen
from celeriac.wire.events import Event, fault_of

WORKERS_MAX: Final = 5_000
TASKS_MAX: Final = 10_000

_ORPHANS_MAX: Final = 10_000
"""Tasks that were not heard of yet, of which it is remembered who their children are."""

T = TypeVar("T")


class Newest(OrderedDict[str, T]):
    """Keep so many values at most: those that were set last.

    Args:
        limit: None is no end.
    """

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.limit = limit

    def __setitem__(self, key: str, value: T) -> None:
        super().__setitem__(key, value)
        self.move_to_end(key)
        while self.limit is not None and len(self) > self.limit:
            self.popitem(last=False)

    def touch(self, key: str) -> None:
        """Count a value as the newest."""
        self.move_to_end(key)


class State:
    """Know nodes and tasks by their events. Safe in several threads.

    Args:
        callback: called with the state and each event, before the event is taken in.
        workers, tasks: what is known already, by name and by id.
        taskheap: of no effect; taken because Celery has it.
        max_workers_in_memory, max_tasks_in_memory: the newest are kept.
        on_node_join, on_node_leave: called with a `Worker` that comes, or goes.
        tasks_by_type, tasks_by_worker: of no effect; they are worked out.

    Attributes:
        workers: by name.
        tasks: by id.
        event_count: events taken in.
        task_count: runs seen, those forgotten meanwhile as well.
    """

    Worker = seen.Worker
    Task = seen.Task

    def __init__(
        self,
        callback: Callable[[State, Event], object] | None = None,
        workers: Mapping[str, seen.Worker] | None = None,
        tasks: Mapping[str, seen.Task] | None = None,
        taskheap: Any = None,
        max_workers_in_memory: int | None = WORKERS_MAX,
        max_tasks_in_memory: int | None = TASKS_MAX,
        on_node_join: Callable[[seen.Worker], object] | None = None,
        on_node_leave: Callable[[seen.Worker], object] | None = None,
        tasks_by_type: Any = None,
        tasks_by_worker: Any = None,
    ) -> None:
        self.event_callback = callback
        self.max_workers_in_memory = max_workers_in_memory
        self.max_tasks_in_memory = max_tasks_in_memory
        self.on_node_join = on_node_join
        self.on_node_leave = on_node_leave
        self.workers: Newest[seen.Worker] = Newest(max_workers_in_memory)
        self.tasks: Newest[seen.Task] = Newest(max_tasks_in_memory)
        self.workers.update(workers or {})
        self.tasks.update(tasks or {})
        self.event_count = 0
        self.task_count = len(self.tasks)
        self._orphans: Newest[weakref.WeakSet[seen.Task]] = Newest(_ORPHANS_MAX)
        self._lock = threading.RLock()

    # -- taking in ----------------------------------------------------------------------------------------------

    def event(self, event: Event) -> tuple[tuple[Any, bool], str] | None:
        """Take in an event.

        Returns:
            (the `Worker` or `Task` that it is about, whether that is new), and the rest of its type; None for an event
            of another group, and for what is no event.
        """
        if fault_of(event) is not None:
            return None
        with self._lock:
            if self.event_callback is not None:
                self.event_callback(self, event)
            self.event_count += 1
            group, _, subject = event["type"].partition("-")
            if group == "worker":
                return self._worker_event(subject, event)
            if group == "task":
                return self._task_event(subject, event)
            return None

    def worker_event(self, type_: str, fields: Event) -> tuple[seen.Worker, bool]:
        """Take in an event of a node; see `event`."""
        with self._lock:
            return self._worker_event(type_, fields)[0]

    def task_event(self, type_: str, fields: Event) -> tuple[seen.Task, bool]:
        """Take in an event of a task; see `event`."""
        with self._lock:
            return self._task_event(type_, fields)[0]

    def _worker_event(self, subject: str, event: Event) -> tuple[tuple[seen.Worker, bool], str]:
        worker, is_new = self._worker(event["hostname"])
        was_alive = bool(worker.heartbeats)
        worker.event(subject, event.get("timestamp"), event.get("local_received") or event.get("timestamp"), event)
        if subject == "offline":
            if self.on_node_leave is not None and was_alive:
                self.on_node_leave(worker)
        elif self.on_node_join is not None and not was_alive:
            self.on_node_join(worker)
        return (worker, is_new), subject

    def _task_event(self, subject: str, event: Event) -> tuple[tuple[seen.Task, bool], str]:
        uuid = event["uuid"]
        task, is_new = self._task(uuid)
        if subject == "sent":
            task.client = event["hostname"]
        else:
            worker, _ = self._worker(event["hostname"])
            task.worker = worker
            worker.event("seen", None, event.get("local_received"), {"pid": event.get("pid")})
        task.event(subject, event.get("timestamp"), event.get("local_received"), _own_fields(event))
        self._bind(task, is_new)
        return (task, is_new), subject

    def _worker(self, hostname: str, fields: Mapping[str, Any] | None = None) -> tuple[seen.Worker, bool]:
        worker = self.workers.get(hostname)
        is_new = worker is None
        if worker is None:
            worker = self.workers[hostname] = self.Worker(hostname)
        else:
            self.workers.touch(hostname)
        worker.update(fields)
        return worker, is_new

    def _task(self, uuid: str) -> tuple[seen.Task, bool]:
        task = self.tasks.get(uuid)
        if task is not None:
            self.tasks.touch(uuid)
            return task, False
        task = self.tasks[uuid] = self.Task(uuid, cluster_state=self)
        self.task_count += 1
        return task, True

    def _bind(self, task: seen.Task, is_new: bool) -> None:
        """Note whose child a task is, also where the parent is heard of later."""
        if task.parent_id is not None and task.uuid != task.parent_id:
            parent = self.tasks.get(task.parent_id)
            if parent is not None:
                parent.children.add(task)
            else:
                self._orphans.setdefault(task.parent_id, weakref.WeakSet()).add(task)
        if is_new and task.uuid is not None:
            task.children.update(self._orphans.pop(task.uuid, ()))

    def get_or_create_worker(self, hostname: str, **fields: Any) -> tuple[seen.Worker, bool]:
        """Return a node, and whether it is new."""
        with self._lock:
            return self._worker(hostname, fields)

    def get_or_create_task(self, uuid: str) -> tuple[seen.Task, bool]:
        """Return a run, and whether it is new."""
        with self._lock:
            return self._task(uuid)

    # -- forgetting ---------------------------------------------------------------------------------------------

    def freeze_while(self, fun: Callable[..., T], *args: Any, clear_after: bool = False, **kwargs: Any) -> T:
        """Call a function while nothing changes here.

        Args:
            clear_after: then forget what has ended.
        """
        with self._lock:
            try:
                return fun(*args, **kwargs)
            finally:
                if clear_after:
                    self.clear()

    def clear(self, ready: bool = True) -> None:
        """Forget the nodes and counts, and the tasks that have ended.

        Args:
            ready: False forgets the others as well.
        """
        with self._lock:
            self.workers.clear()
            self.clear_tasks(ready)
            self.event_count = self.task_count = 0

    def clear_tasks(self, ready: bool = True) -> None:
        """Forget the tasks that have ended; with `ready` false all."""
        with self._lock:
            left = [] if not ready else [task for task in self.tasks.values() if not task.ready]
            self.tasks.clear()
            self.tasks.update((task.uuid, task) for task in left if task.uuid is not None)
            self._orphans.clear()

    # -- looking ------------------------------------------------------------------------------------------------

    def itertasks(self, limit: int | None = None) -> Iterator[tuple[str, seen.Task]]:
        """Yield ids and tasks, those heard of first at the front."""
        with self._lock:
            found = list(islice(self.tasks.items(), limit))
        yield from found

    def tasks_by_time(self, limit: int | None = None, reverse: bool = True) -> Iterator[tuple[str, seen.Task]]:
        """Yield ids and tasks by their last event, in the order of the logical clock.

        Args:
            reverse: the newest first.
        """
        with self._lock:
            found = sorted(self.tasks.items(), key=_order, reverse=reverse)
        yield from found[:limit]

    tasks_by_timestamp = tasks_by_time

    def tasks_by_type(
        self, name: str, limit: int | None = None, reverse: bool = True
    ) -> Iterator[tuple[str, seen.Task]]:
        """Yield those of one task."""
        return islice((pair for pair in self.tasks_by_time(reverse=reverse) if pair[1].name == name), limit)

    def tasks_by_worker(
        self, hostname: str, limit: int | None = None, reverse: bool = True
    ) -> Iterator[tuple[str, seen.Task]]:
        """Yield those of which a node has spoken last."""
        return islice(
            (
                pair
                for pair in self.tasks_by_time(reverse=reverse)
                if pair[1].worker is not None and pair[1].worker.hostname == hostname
            ),
            limit,
        )

    def task_types(self) -> list[str]:
        """Return the names of all tasks that were seen."""
        with self._lock:
            return sorted({task.name for task in self.tasks.values() if task.name is not None})

    def alive_workers(self) -> Iterable[seen.Worker]:
        """Return the nodes that count as alive."""
        with self._lock:
            return [worker for worker in self.workers.values() if worker.alive]

    def rebuild_taskheap(self) -> None:
        """Do nothing: the order is worked out when somebody looks."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: events={self.event_count} tasks={self.task_count}>"


def _own_fields(event: Event) -> Event:
    return {name: value for name, value in event.items() if name not in ("type", "timestamp", "uuid")}


def _order(pair: tuple[str, seen.Task]) -> tuple[int, float, str]:
    uuid, task = pair
    return task.clock, task.timestamp or 0.0, uuid
