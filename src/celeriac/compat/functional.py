"""What Celery has in `celery.utils.functional`: caches, lazy values, iterators that can be read twice."""

from __future__ import annotations

import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from itertools import chain, islice
from typing import Any, Generic, TypeVar, overload

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")


class LRUCache(MutableMapping[K, V]):
    """Map keys to values and forget the least recently used when there are more than `limit`. Safe in threads.

    Iterating goes over what was there when it began, and does not count as use.

    Args:
        limit: most keys that are kept; None for any number.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self._kept: OrderedDict[K, V] = OrderedDict()
        self._lock = threading.RLock()

    def __getitem__(self, key: K) -> V:
        with self._lock:
            self._kept.move_to_end(key)
            return self._kept[key]

    def __setitem__(self, key: K, value: V) -> None:
        with self._lock:
            self._kept[key] = value
            self._kept.move_to_end(key)
            while self.limit and len(self._kept) > self.limit:
                self._kept.popitem(last=False)

    def __delitem__(self, key: K) -> None:
        with self._lock:
            del self._kept[key]

    def __contains__(self, key: object) -> bool:
        return key in self._kept

    def __iter__(self) -> Iterator[K]:
        with self._lock:
            return iter(list(self._kept))

    def __len__(self) -> int:
        return len(self._kept)

    def values(self) -> list[V]:  # type: ignore[override]  # a snapshot, which a view would not be
        """Return the values, least recently used first."""
        with self._lock:
            return list(self._kept.values())

    def items(self) -> list[tuple[K, V]]:  # type: ignore[override]  # likewise
        """Return the pairs, least recently used first."""
        with self._lock:
            return list(self._kept.items())

    def incr(self, key: K, delta: int = 1) -> int:
        """Add to a number, which is kept as text as memcached does, and return the sum."""
        with self._lock:
            total = int(self._kept[key]) + delta  # type: ignore[call-overload]  # only of values that are numbers
            self[key] = str(total)  # type: ignore[assignment]  # likewise
            return int(total)

    def __repr__(self) -> str:
        return f"<LRUCache: {len(self)} of {self.limit or 'any number'}>"

    def __getstate__(self) -> dict[str, Any]:
        return {"limit": self.limit, "items": self.items()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.limit = state["limit"]
        self._kept = OrderedDict(state["items"])
        self._lock = threading.RLock()


class lazy(Generic[T]):
    """Hold a call that is made each time its value is wanted.

    Args:
        fun: what is called, with the arguments that follow.
    """

    def __init__(self, fun: Callable[..., T], *args: Any, **kwargs: Any) -> None:
        self._fun = fun
        self._args = args
        self._kwargs = kwargs

    def evaluate(self) -> T:
        """Return the value."""
        return self._fun(*self._args, **self._kwargs)

    def __call__(self) -> T:
        return self.evaluate()

    def __str__(self) -> str:
        return str(self.evaluate())

    def __repr__(self) -> str:
        return repr(self.evaluate())

    def __eq__(self, other: object) -> bool:
        return bool(self.evaluate() == other)

    __hash__ = None  # type: ignore[assignment]  # the value may be another one next time


class mlazy(lazy[T]):
    """Hold a call that is made once, when its value is first wanted."""

    evaluated = False

    def evaluate(self) -> T:
        """Return the value."""
        if not self.evaluated:
            self._value = super().evaluate()
            self.evaluated = True
        return self._value


def maybe_evaluate(value: Any) -> Any:
    """Return the value of a `lazy`, and anything else as it is."""
    return value.evaluate() if isinstance(value, lazy) else value


def noop(*args: Any, **kwargs: Any) -> None:
    """Take anything and do nothing."""


def is_list(obj: object, scalars: tuple[type, ...] = (Mapping, str), iters: tuple[type, ...] = (Iterable,)) -> bool:
    """Tell whether something can be iterated over and is neither a mapping nor text."""
    return isinstance(obj, iters) and not isinstance(obj, scalars or ())


def maybe_list(obj: Any, scalars: tuple[type, ...] = (Mapping, str)) -> Any:
    """Return None and what `is_list` as they are, and anything else as a list of one."""
    return obj if obj is None or is_list(obj, scalars) else [obj]


def first(predicate: Callable[[T], object] | None, it: Iterable[T]) -> T | None:
    """Return the first item that `predicate` accepts (None: the first that is not None), or None."""
    return next((item for item in it if (item is not None if predicate is None else predicate(item))), None)


def chunks(it: Iterable[T], n: int) -> Iterator[list[T]]:
    """Split what can be iterated over into lists of `n` items; the last one may be shorter."""
    rest = iter(it)
    while chunk := list(islice(rest, n)):
        yield chunk


def padlist(container: Sequence[T], size: int, default: Any = None) -> list[Any]:
    """Return the first `size` items, with `default` in the place of those that are missing."""
    return [*container[:size], *[default] * (size - len(container))]


def mattrgetter(*attrs: str) -> Callable[[object], dict[str, Any]]:
    """Return a function that reads these attributes of an object into a dict, None where one is missing."""
    return lambda obj: {attr: getattr(obj, attr, None) for attr in attrs}


def uniq(it: Iterable[T]) -> Iterator[T]:
    """Yield each item once, in the order in which they first come."""
    return iter(dict.fromkeys(it))


def dictfilter(d: Mapping[str, Any] | None = None, /, **kw: Any) -> dict[str, Any]:
    """Return a dict without the keys whose value is None."""
    return {key: value for key, value in {**(d or {}), **kw}.items() if value is not None}


def maybe(typ: Callable[[Any], T], val: Any) -> T | None:
    """Return ``typ(val)``, or None for None."""
    return None if val is None else typ(val)


def fun_accepts_kwargs(fun: Callable[..., Any]) -> bool:
    """Tell whether a function takes any keyword argument."""
    return any(each.kind is each.VAR_KEYWORD for each in inspect.signature(fun).parameters.values())


def regen(it: Iterable[T]) -> Sequence[T]:
    """Return something that can be iterated over again and again, also if `it` is a generator.

    Lists and tuples are returned as they are; anything else is read as far as it is asked for, and remembered.
    """
    return it if isinstance(it, list | tuple) else _Remembered(it)


class _Remembered(Sequence[T]):
    def __init__(self, it: Iterable[T]) -> None:
        self._rest = iter(it)
        self._read: list[T] = []

    def __iter__(self) -> Iterator[T]:
        index = 0
        while self._has(index + 1):
            yield self._read[index]
            index += 1

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        if isinstance(index, slice) or index < 0:
            self._read_all()
        else:
            self._has(index + 1)
        return self._read[index]

    def __len__(self) -> int:
        self._read_all()
        return len(self._read)

    def __bool__(self) -> bool:
        return self._has(1)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, list | _Remembered) else NotImplemented

    __hash__ = None  # type: ignore[assignment]  # as that of a list

    def __repr__(self) -> str:
        return f"<regen: {self._read!r} and what is not read yet>"

    def __reduce__(self) -> tuple[type[list[T]], tuple[list[T]]]:
        return list, (list(self),)

    def _has(self, count: int) -> bool:
        self._read += islice(self._rest, max(0, count - len(self._read)))
        return len(self._read) >= count

    def _read_all(self) -> None:
        self._read += self._rest


def seq_concat_item(seq: Sequence[T], item: T) -> Sequence[T]:
    """Return a copy of a list or tuple with an item more."""
    return (*seq, item) if isinstance(seq, tuple) else [*seq, item]


def seq_concat_seq(a: Sequence[T], b: Sequence[T]) -> Sequence[T]:
    """Return two sequences as one, of the type of the longer."""
    longer = type(max(a, b, key=len))
    return longer(chain(a, b))  # type: ignore[call-arg]  # lists and tuples take an iterable
