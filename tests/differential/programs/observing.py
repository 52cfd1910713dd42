"""What the programs share: how one is declared, and how what it saw is written down.

The programs are written for celeriac. On Celery's side every word `celeriac` of these files reads `celery`, which is
all that somebody who moves between the two has to change.
"""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time, timedelta
from pathlib import Path
from time import monotonic, sleep
from typing import Any, NamedTuple

from celeriac import Celery

CELERY = "celery"  # the same word on both sides: what both call the default queue, for one
PATIENCE = 100.0
POLL = 0.1


class Difference(NamedTuple):
    """A fact that differs on purpose."""

    fact: str
    celery: Any
    ours: Any
    row: str


class Program(NamedTuple):
    """One program: a function that returns what it saw, as facts by name."""

    name: str
    run: Callable[[], Mapping[str, Any]]
    live: bool
    last: bool
    differences: tuple[Difference, ...]


PROGRAMS: dict[str, Program] = {}


def program(*differences: Difference) -> Callable[[Callable[[], Mapping[str, Any]]], Callable[[], Mapping[str, Any]]]:
    """Make a program of a function.

    In a module whose name begins with `live_` a worker runs beside it; likewise with `last_`, where the programs run
    after all others and one at a time: they kill the worker's processes, and stock Celery may lose messages then.
    """

    def declare(function: Callable[[], Mapping[str, Any]]) -> Callable[[], Mapping[str, Any]]:
        name = f"{function.__module__}.{function.__name__}"
        kind = function.__module__.partition("_")[0]
        PROGRAMS[name] = Program(name, function, kind in ("live", "last"), kind == "last", differences)
        return function

    return declare


def differs(fact: str, *, celery: Any, ours: Any, row: str) -> Difference:
    """Say that a fact differs on purpose, and which row of docs/coming-from-celery.md says so.

    Args:
        fact: its name in what the program returns.
        celery: what Celery gives, as it is written down (`as_json`).
        ours: what we give.
        row: words of the row's first cell.
    """
    return Difference(fact, celery, ours, row)


def make_app(main: str | None = "shop", **settings: Any) -> Celery:
    """Return an app whose broker and results are in this process."""
    return Celery(main, broker="memory://", backend=os.environ["DIFFERENTIAL_MEMORY_RESULTS"], **settings)


def get(result: Any) -> Any:
    """Wait for the result of a live program's call."""
    return result.get(timeout=PATIENCE, interval=POLL)


def raised(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Call a function; return the name of the class of what it raised."""
    try:
        value = function(*args, **kwargs)
    except Exception as exc:
        return type(exc).__name__
    return f"nothing; returned {value!r}"


def raised_text(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """Call a function; return what it raised, with its text."""
    try:
        value = function(*args, **kwargs)
    except Exception as exc:
        return f"{type(exc).__name__}: {exc}"
    return f"nothing; returned {value!r}"


@contextmanager
def warned() -> Iterator[list[str]]:
    """Collect the names of the classes of warnings."""
    names: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield names
    names.extend(warning.category.__name__ for warning in caught)


@contextmanager
def listening(signal: Any, *fields: str) -> Iterator[list[Any]]:
    """Collect what a signal sends: the named fields of each time, or the sorted names of all fields."""
    seen: list[Any] = []

    def receive(sender: Any = None, **sent: Any) -> None:
        sent.pop("signal", None)
        seen.append([sent.get(field, "missing") for field in fields] if fields else sorted(sent))

    signal.connect(receive, weak=False)
    yield seen
    signal.disconnect(receive)


def note(name: str, *words: object) -> None:
    """Add a line to the notes of a name; tasks tell programs like that what they do."""
    with Path(f"notes-{name}").open("a") as file:
        file.write(" ".join(map(str, words)) + "\n")


def notes(name: str, number: int) -> list[str]:
    """Return the notes of a name when there are that many, or what there is once patience ends."""
    path = Path(f"notes-{name}")
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline:
        lines = path.read_text().splitlines() if path.exists() else []
        if len(lines) >= number:
            break
        sleep(POLL)
    return lines


def as_json(value: Any) -> Any:
    """Write down a value so that two processes can be compared: containers as JSON's, the rest by kind."""
    match value:
        case bool() | None:
            return value
        case str():
            return str(value)
        case int() | float():
            return value
        case datetime():
            return f"<a datetime, {'naive' if value.tzinfo is None else 'aware'}>"
        case date() | time() | timedelta():
            return repr(value)
        case BaseException():
            return f"{type(value).__module__}.{type(value).__qualname__}{as_json(value.args)!r}"
        case type():
            return f"<class {value.__module__}.{value.__qualname__}>"
        case dict():
            return {key if isinstance(key, str) else f"<{key!r}>": as_json(item) for key, item in value.items()}
        case list() | tuple():
            return [as_json(item) for item in value]
        case set() | frozenset():
            return sorted((as_json(item) for item in value), key=json.dumps)
        case _:
            return f"<{type(value).__name__}: {re.sub(r'0x[0-9a-f]+', '0x', repr(value))}>"
