"""What the record of a run tells, as properties of its result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import UTC, datetime
from typing import Any

import msgspec

from celeriac import states
from celeriac.app.result_tree import ResultBase
from celeriac.wire.results import Record, exception_from_map
from celeriac.wire.times import parse_iso


class RecordReader(ResultBase, ABC):
    """Tell what is known of a run. What is None is not known, or there is none.

    What only extended records have (`result_extended`) is said there.
    """

    __slots__ = ()

    id: str
    _name: str | None

    @abstractmethod
    def _look(self) -> Record | None:
        """Return the record as it is now, or None when there is none."""

    @property
    def state(self) -> str:
        """State of the run; PENDING also when nothing is known of it."""
        record = self._look()
        return record.status if record is not None else states.PENDING

    status = state

    def ready(self) -> bool:
        """Say whether the run has ended, well or not."""
        return self.state in states.READY_STATES

    def successful(self) -> bool:
        """Say whether the run returned."""
        return self.state == states.SUCCESS

    def failed(self) -> bool:
        """Say whether the run raised."""
        return self.state == states.FAILURE

    @property
    def result(self) -> Any:
        """What the run returned, the exception that it raised, or what a state such as STARTED tells."""
        record = self._look()
        return value_of(record) if record is not None else None

    info = result

    @property
    def traceback(self) -> str | None:
        """Text of the traceback of a run that raised."""
        record = self._look()
        return record.traceback if record is not None else None

    @property
    def date_done(self) -> datetime | None:
        """When the run ended."""
        record = self._look()
        return _datetime_of(record.date_done) if record is not None and record.date_done else None

    @property
    def name(self) -> str | None:
        """Name of the task: of extended records, or as it was given for this result."""
        record = self._look()
        return self._name if record is None or record.name is None else record.name

    @property
    def args(self) -> Any:
        """Positional arguments of the run; of extended records."""
        record = self._look()
        return record.args if record is not None else None

    @property
    def kwargs(self) -> Any:
        """Keyword arguments of the run; of extended records."""
        record = self._look()
        return record.kwargs if record is not None else None

    @property
    def worker(self) -> str | None:
        """Name of the node that ran it; of extended records."""
        record = self._look()
        return record.worker if record is not None else None

    @property
    def retries(self) -> int | None:
        """Attempts before the one that ended; of extended records."""
        record = self._look()
        return record.retries if record is not None else None

    @property
    def queue(self) -> str | None:
        """Queue that it was in; of extended records."""
        record = self._look()
        return record.queue if record is not None else None

    def _get_task_meta(self) -> dict[str, Any]:
        """Return what is known as a dict; private by its name only, as in Celery, where libraries call it."""
        return meta_of(self._look() or Record(status=states.PENDING, task_id=self.id))


def meta_of(record: Record) -> dict[str, Any]:
    """Return a record as a dict, its exception made."""
    fields = {name: value for name, value in msgspec.structs.asdict(record).items() if name != "more"}
    return {**fields, **record.more, "result": value_of(record)}


def value_of(record: Record) -> Any:
    """Return the value or the exception that a record tells of; exceptions are made anew each time."""
    if record.status in states.PROPAGATE_STATES or (record.status == states.RETRY and record.result is not None):
        return exception_from_map(record.result, traceback=record.traceback)
    return record.result


def _datetime_of(text: str) -> datetime | None:
    """Return the instant that a record names, in the zone that it names; of other texts than ISO 8601, None."""
    try:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except ValueError:
        pass  # of a rarer form
    try:
        return datetime.fromtimestamp(parse_iso(text), UTC)
    except (ValueError, OverflowError):
        return None
