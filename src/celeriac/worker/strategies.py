"""The strategies of dispatch by name: those of `dispatch.py`, those that share by turns or weights, and users' own."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.dispatch import (
    WINDOW_MAX,
    WINDOW_SECONDS,
    Adaptive,
    Fair,
    Slot,
    Strategy,
    prefetch_by_time,
)

logger: Final = logging.getLogger("celeriac.worker")

_SPEED_WEIGHT: Final = 0.1
_SLOWEST: Final = 0.1
_FASTEST: Final = 10.0


class RoundRobin:
    """Give messages to the children in turn (`-O round-robin`).

    A child without a free body is passed over, as long as another has one. When none has, short tasks go on in turn
    into the windows of the children.
    """

    def __init__(self) -> None:
        self._last = -1

    def choose(self, slots: Iterable[Slot], expected: float, now: float) -> Slot | None:
        open_ones = open_to(slots, expected, now)
        if not open_ones:
            return None
        chosen = min(open_ones, key=lambda slot: (slot.number <= self._last, slot.number))
        self._last = chosen.number
        return chosen

    def prefetch(self, slots: Sequence[Slot], mean: float, now: float) -> int:
        return prefetch_by_time(slots, mean, now)


class Weighted:
    """Share messages among the children by weight (`-O weighted`).

    Weights decide where there is a choice: among the children that have a body free, and when none has, among those
    whose window takes a further short task. They never keep a free body waiting.

    Args:
        weights: of children by their place in the node, from 1; those that are not named have 1. None or empty: by
            speed, as measured: a child whose runs take half as long as those of their tasks do elsewhere has 2.
    """

    def __init__(self, weights: Mapping[int, float] | None = None) -> None:
        self._given = dict(weights or {})
        self._slowness: dict[int, float] = {}
        self._credit: dict[int, float] = {}

    def weight(self, place: int) -> float:
        """Return the weight of the child at a place, counted from 1."""
        if self._given:
            return self._given.get(place, 1.0)
        return 1.0 / min(max(self._slowness.get(place, 1.0), 1.0 / _FASTEST), 1.0 / _SLOWEST)

    def choose(self, slots: Iterable[Slot], expected: float, now: float) -> Slot | None:
        open_ones = open_to(slots, expected, now)
        if not open_ones:
            return None
        # Smooth weighted turns: whoever has waited longest for its share is next, and pays for it.
        total = 0.0
        best, most = open_ones[0], -float("inf")
        for slot in open_ones:
            weight = self.weight(slot.place + 1) * slot.capacity
            total += weight
            credit = self._credit[slot.place] = self._credit.get(slot.place, 0.0) + weight
            if credit > most:
                best, most = slot, credit
        self._credit[best.place] = most - total
        return best

    def prefetch(self, slots: Sequence[Slot], mean: float, now: float) -> int:
        return prefetch_by_time(slots, mean, now)

    def note_run(self, slot: Slot, expected: float, took: float) -> None:
        """Learn from a run how fast a child is. Nothing where weights are given."""
        if not self._given and 0.0 < expected < float("inf"):
            place = slot.place + 1
            before = self._slowness.get(place, 1.0)
            self._slowness[place] = before + _SPEED_WEIGHT * (min(took / expected, 1.0 / _SLOWEST) - before)


def open_to(slots: Iterable[Slot], expected: float, now: float) -> list[Slot]:
    """Return the children that may have a message: those with a body free, else those with room in their window."""
    candidates = list(slots)
    free = [slot for slot in candidates if slot.load < slot.capacity]
    if free or expected > WINDOW_SECONDS:
        return free
    return [
        slot
        for slot in candidates
        if slot.wait <= WINDOW_SECONDS and slot.load < WINDOW_MAX + slot.capacity - 1 and not slot.is_late(now)
    ]


class Guarded:
    """Ask a strategy of a user, and another one in its place when it fails: it runs where nothing else may fail."""

    def __init__(self, strategy: Any, name: str) -> None:
        self._strategy = strategy
        self._name = name
        self._instead: Strategy = Adaptive()
        self._has_failed = False
        self.learns = callable(getattr(strategy, "note_run", None))
        self._prefetch: Callable[[Sequence[Slot], float, float], int] = getattr(strategy, "prefetch", prefetch_by_time)

    def choose(self, slots: Sequence[Slot], expected: float, now: float) -> Slot | None:
        """Return what it chooses, when that is one of the children or None."""
        try:
            chosen = self._strategy.choose(slots, expected, now)
        except Exception as exc:  # noqa: BLE001 - whatever it raises, work goes on
            self._note_failure(f"raised {exc!r}", exc)
            return self._instead.choose(slots, expected, now)
        if chosen is None or chosen in slots:
            return chosen  # type: ignore[no-any-return]  # it is one of `slots`
        self._note_failure(f"chose {chosen!r}, which is none of the slots", None)
        return self._instead.choose(slots, expected, now)

    def prefetch(self, slots: Sequence[Slot], mean: float, now: float) -> int:
        """Return what it says, when that is a number."""
        try:
            return int(self._prefetch(slots, mean, now))
        except Exception as exc:  # noqa: BLE001 - whatever it raises, work goes on
            self._note_failure(f"raised {exc!r} about how much to hold", exc)
            return self._instead.prefetch(slots, mean, now)

    def note_run(self, slot: Slot, expected: float, took: float) -> None:
        """Tell it of a run, if it wants to know."""
        try:
            self._strategy.note_run(slot, expected, took)
        except Exception as exc:  # noqa: BLE001 - whatever it raises, work goes on
            self._note_failure(f"raised {exc!r} about a run", exc)

    def _note_failure(self, what: str, error: BaseException | None) -> None:
        if not self._has_failed:
            logger.error(
                "the strategy %s %s; whenever it fails, `adaptive` chooses instead", self._name, what, exc_info=error
            )
        self._has_failed = True


_OURS: Final[Mapping[str, type[Strategy]]] = {
    "adaptive": Adaptive,
    "default": Adaptive,
    "fair": Fair,
    "round-robin": RoundRobin,
    "weighted": Weighted,
}
_registered: dict[str, type] = {}


def register_strategy(name: str, strategy: type) -> None:
    """Give a class of strategies a name for `worker_dispatch` and `-O`. Call it where the app's tasks are imported.

    Raises:
        ValueError: celeriac has a strategy of that name, or the class has no method `choose`.
    """
    if name in _OURS:
        raise ValueError(f"{name!r} is a strategy of celeriac's own; choose another name")
    if not callable(getattr(strategy, "choose", None)):
        raise ValueError(f"{strategy!r} has no method `choose(slots, expected, now)`; a strategy needs one")
    _registered[name] = strategy


def strategy_of(named: str | type, weights: Mapping[str, Any] | None = None) -> Strategy:
    """Make the strategy of a name, of the path of a class, or of a class.

    Args:
        named: as `worker_dispatch` has it.
        weights: as `worker_dispatch_weights` has them; for `weighted` and classes that derive from `Weighted`.

    Raises:
        ImproperlyConfigured: there is none of that name, or it cannot be made.
    """
    kind = named if isinstance(named, type) else _class_of(named)
    label = named if isinstance(named, str) else f"{kind.__module__}:{kind.__qualname__}"
    if not callable(getattr(kind, "choose", None)):
        raise ImproperlyConfigured(
            f"worker_dispatch names {label}, which has no method `choose(slots, expected, now)`; a strategy needs one"
        )
    try:
        made = kind(weights_of(weights)) if issubclass(kind, Weighted) else kind()
    except ImproperlyConfigured:
        raise
    except Exception as exc:
        raise ImproperlyConfigured(
            f"the strategy {label} cannot be made: {exc!r}; it is called without arguments"
        ) from exc
    return made if kind in _OURS.values() else Guarded(made, label)  # type: ignore[return-value]  # as `_OURS` says


def learner_of(strategy: Strategy) -> Callable[[Slot, float, float], None] | None:
    """Return what wants to know how long runs took, and were expected to take, in which child; None: nobody does."""
    if isinstance(strategy, Weighted) or (isinstance(strategy, Guarded) and strategy.learns):
        return strategy.note_run
    return None


def weights_of(given: Mapping[str, Any] | None) -> dict[int, float]:
    """Read `worker_dispatch_weights`: numbers above 0, by the places of children in their node, from 1.

    Raises:
        ImproperlyConfigured: something in it is none.
    """
    weights: dict[int, float] = {}
    for key, value in (given or {}).items():
        try:
            place, weight = int(key), float(value)
        except (TypeError, ValueError):
            place, weight = 0, 0.0
        if place < 1 or not 0.0 < weight < float("inf"):
            raise ImproperlyConfigured(
                "worker_dispatch_weights must give numbers above 0 by the places of children, from 1, as in "
                f"{{'1': 3, '2': 1}}; got {key!r}: {value!r}"
            )
        weights[place] = weight
    return weights


def _class_of(name: str) -> type:
    found = _OURS.get(name) or _registered.get(name)
    if found is not None:
        return found
    module, _, attribute = name.rpartition(":") if ":" in name else name.rpartition(".")
    if not module:
        known = [*_OURS, *_registered]
        near = get_close_matches(name, known, n=1)
        raise ImproperlyConfigured(
            f"there is no strategy {name!r}{f' (did you mean {near[0]}?)' if near else ''}; there are "
            f"{', '.join(known)}, those that are registered with `register_strategy`, and paths such as "
            "'package.module:Class'"
        )
    try:
        kind = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as exc:
        raise ImproperlyConfigured(f"the strategy {name!r} cannot be imported: {exc}") from exc
    if not isinstance(kind, type):
        raise ImproperlyConfigured(f"the strategy {name!r} is no class, but {kind!r}")
    return kind
