"""Hand messages to the broker, again if need be, within one deadline."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final

import msgspec

from celeriac.brokers.base import Broker, Conflict
from celeriac.exceptions import BrokerUnavailable
from celeriac.message import Message


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """Say how often, and how soon, publishing is tried again.

    Attributes:
        max_retries: attempts after the first; None: as many as there is time for.
        interval_start: seconds before the first of them.
        interval_step: seconds that each next one waits longer.
        interval_max: longest wait.
        retry_errors: after which errors; another one is raised at once.
    """

    max_retries: int | None = 3
    interval_start: float = 0
    interval_step: float = 0.2
    interval_max: float = 1
    retry_errors: tuple[type[Exception], ...] = (BrokerUnavailable,)

    def waits(self) -> Iterator[float]:
        """Yield the seconds to wait before each further attempt."""
        for attempt in count() if self.max_retries is None else range(self.max_retries):
            yield min(self.interval_start + attempt * self.interval_step, self.interval_max)


DEFAULT_POLICY: Final = RetryPolicy()


def read_policy(said: Mapping[str, Any] | None, base: RetryPolicy = DEFAULT_POLICY) -> RetryPolicy:
    """Return `base`, with what a `retry_policy` says otherwise.

    Raises:
        ValueError: it says what a policy does not have, or a wrong value.
    """
    if not said:
        return base
    for name, value in said.items():
        if name not in RetryPolicy.__struct_fields__:
            raise ValueError(f"a retry_policy has no {name!r}; there are {', '.join(RetryPolicy.__struct_fields__)}")
        if not _KINDS[name](value):
            raise ValueError(f"{name} of a retry_policy must be {_WORDS.get(name, 'a number >= 0')}, got {value!r}")
    unsaid = {"retry_errors"} if said.get("retry_errors", ()) is None else set()
    policy: RetryPolicy = msgspec.structs.replace(base, **{name: said[name] for name in said.keys() - unsaid})
    return policy


def _is_amount(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, (int, float)) and 0 <= value < float("inf")


def _is_count(value: Any) -> bool:
    return value is None or (_is_amount(value) and isinstance(value, int))


def _are_errors(value: Any) -> bool:
    return value is None or (
        isinstance(value, tuple) and all(isinstance(kind, type) and issubclass(kind, Exception) for kind in value)
    )


_KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "max_retries": _is_count,
    "interval_start": _is_amount,
    "interval_step": _is_amount,
    "interval_max": _is_amount,
    "retry_errors": _are_errors,
}
_WORDS: Final = {
    "max_retries": "a whole number >= 0, or None",
    "retry_errors": "a tuple of exception classes, or None",
}


def publish(
    broker: Broker, messages: Sequence[Message], *, deadline_at: float, policy: RetryPolicy | None
) -> Sequence[Conflict]:
    """Publish, and publish again after an error that `policy` names, for as long as it says and until the deadline.

    What the broker may have already is not published a second time: the error says so, and is raised.

    Args:
        messages: as for `Broker.publish`.
        deadline_at: monotonic instant by which the call has ended.
        policy: None: one attempt.

    Returns:
        Those that another run keeps from being published, as `Broker.publish` does.
    """
    try:
        return broker.publish(messages, deadline_at=deadline_at)
    except Exception as error:
        if policy is None or not _may_be_repeated(error, policy):
            raise
        return _publish_again(broker, messages, deadline_at, policy, error)


def check_begun_in_time(called_at: float, timeout: float) -> None:
    """Raise when the time for a call from an event loop was over before a thread could begin to publish it.

    Args:
        called_at: monotonic instant of the call.

    Raises:
        BrokerUnavailable: it is; nothing was published.
    """
    if time.monotonic() >= called_at + timeout:
        raise BrokerUnavailable(
            f"the call could not be begun within {timeout:g} s: all threads of the event loop are busy, as with "
            "earlier calls while the broker does not answer"
        )


def _publish_again(
    broker: Broker, messages: Sequence[Message], deadline_at: float, policy: RetryPolicy, error: Exception
) -> Sequence[Conflict]:
    for wait in policy.waits():
        if time.monotonic() + wait >= deadline_at:
            break
        time.sleep(wait)
        try:
            return broker.publish(messages, deadline_at=deadline_at)
        except Exception as another:
            if not _may_be_repeated(another, policy):
                raise
            error = another
    raise error


def _may_be_repeated(error: Exception, policy: RetryPolicy) -> bool:
    return isinstance(error, policy.retry_errors) and not getattr(error, "maybe_published", False)
