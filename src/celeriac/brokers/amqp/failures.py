"""A driver's error in our words: what happened, to which server, what to do. No driver's type leaves this package."""

from __future__ import annotations

import re
import socket
import ssl
import time
from typing import Any, Final

from celeriac.exceptions import (
    BrokerFull,
    BrokerUnavailable,
    ExtraMissing,
    ImproperlyConfigured,
    OperationalError,
    Unroutable,
)

try:  # here, because all that needs the driver imports this file before it
    import amqp
    from amqp import exceptions as driver
    from amqp import transport
except ImportError as missing:
    raise ExtraMissing('amqp:// needs more packages: pip install "celeriac[amqp]"') from missing

__all__ = [
    "LOST",
    "Blocked",
    "Refused",
    "amqp",
    "driver",
    "ended_by",
    "refusal",
    "transport",
    "unanswered",
    "unreachable",
]


class Blocked(BrokerFull):
    """Say that the server takes no messages for a while.

    Attributes:
        reason: what the server says of it.
    """

    def __init__(self, where: str, reason: str, *, sent: bool) -> None:
        super().__init__(
            f"rabbitmq at {where} takes no messages now, it says: {reason}; free memory or disk on its machine, or "
            "raise its limits: `rabbitmqctl status` shows both",
            maybe_published=sent,
        )
        self.reason = reason


LOST: Final[tuple[type[BaseException], ...]] = (
    OSError,
    driver.ConnectionError,
    AttributeError,  # what py-amqp raises where another thread has closed its socket
    ssl.SSLError,
)
"""What says that a connection is of no use any more."""

Refused: Final = driver.ChannelError
"""What a server answers that has closed the channel and left the connection as it was."""

_INEQUIVALENT: Final = re.compile(
    r"inequivalent arg '(?P<argument>[^']+)' for (?P<kind>queue|exchange) '(?P<name>[^']+)'.*?"
    r"received (?P<wanted>.+?) but current is (?P<found>.+)$",
    re.DOTALL,
)


_LOCKED: Final = re.compile(r"exclusive access to locked queue '(?P<name>[^']+)'")
_UNFIT: Final = re.compile(r"invalid property '(?P<property>[^']+)' for queue '(?P<name>[^']+)'")
_NO_EXCHANGE: Final = re.compile(r"no exchange '(?P<name>[^']+)'")
_VALUE: Final = re.compile(r"the value (?P<value>.+) of type '\w+'")
_IN_GENERAL: Final = "what `task_queues` says of it"
_SETTINGS: Final = {
    "x-queue-type": "`task_default_queue_type` (`task_create_missing_queue_type` for queues that are not listed), or "
    "its `queue_arguments` in `task_queues`",
    "x-max-priority": "`task_queue_max_priority`, or its `max_priority` in `task_queues`",
    "x-expires": "its `expires` in `task_queues`",
    "x-message-ttl": "its `message_ttl` in `task_queues`",
    "x-max-length": "its `max_length` in `task_queues`",
    "x-max-length-bytes": "its `max_length_bytes` in `task_queues`",
    "type": "`task_default_exchange_type`, or the type of its `Exchange` in `task_queues`",
}
"""Where the settings say an argument of a queue or an exchange."""


def _plain(said: str) -> str | None:
    """Return what a server calls a value, as settings say it; None for nothing."""
    text = said.strip()
    found = _VALUE.fullmatch(text)
    return None if text == "none" else (found["value"] if found else text)


def unreachable(error: BaseException, where: str, seconds: float) -> BrokerUnavailable:
    """Say why a server could not be reached: the broker has not been asked anything."""
    return BrokerUnavailable(f"rabbitmq at {where} {_why(error, seconds)}")


def unanswered(error: BaseException, where: str, doing: str, seconds: float, *, sent: bool) -> BrokerUnavailable:
    """Say that what was asked has no answer.

    Args:
        sent: it may have been done.
    """
    if isinstance(error, TimeoutError):
        text = f"did not answer within {seconds:.1f} s"
    else:
        text = f"closed the connection before it answered ({_said(error)})"
    return BrokerUnavailable(f"rabbitmq at {where} {text}: {doing}", maybe_published=sent)


def ended_by(error: BaseException, deadline_at: float) -> BaseException:
    """Return what has ended a call: past its deadline that, whatever is said of the socket that was shut down then."""
    return TimeoutError() if time.monotonic() >= deadline_at else error


def refusal(error: Any, where: str, doing: str) -> OperationalError | ImproperlyConfigured:
    """Say what the server will not do.

    Returns:
        ImproperlyConfigured when a queue or an exchange is declared otherwise than it is: the text names the argument,
        or when a queue is another connection's alone, or what its type cannot be;
        Unroutable when a message is for an exchange that is not there.
    """
    text = _said(error)
    found = _INEQUIVALENT.search(text)
    if found:
        kind, name, argument = found["kind"], found["name"], found["argument"]
        has, wants = _plain(found["found"]), _plain(found["wanted"])
        says = "do not say it" if wants is None else f"say {wants}"
        return ImproperlyConfigured(
            f"{kind} {name!r} on rabbitmq at {where} has {argument} = {has or 'nothing'}, and the settings {says}; "
            f"change {_SETTINGS.get(argument, _IN_GENERAL)}, or delete the {kind} when nothing is in it any more: "
            "RabbitMQ never changes what is there"
        )
    unfit = _UNFIT.search(text)
    if unfit:
        return ImproperlyConfigured(
            f"queue {unfit['name']!r} cannot be {unfit['property']} on rabbitmq at {where}: quorum queues and streams "
            "are durable, and of no single connection; leave that out of `task_queues`, or its `x-queue-type`"
        )
    locked = _LOCKED.search(text)
    if locked:
        return ImproperlyConfigured(
            f"queue {locked['name']!r} on rabbitmq at {where} is exclusive, and belongs to another connection; only "
            "the node that has it can use it. Stop that node (that of a dead machine is forgotten within 12 s), or "
            "leave `exclusive` out of `task_queues`"
        )
    missing = _NO_EXCHANGE.search(text)
    if missing:
        name = missing["name"]
        return Unroutable(
            f"there is no exchange {name!r} on rabbitmq at {where}; say its exchange_type in the call, or list a queue "
            "that is bound to it in task_queues",
            exchange=name,
        )
    return OperationalError(f"rabbitmq at {where} refuses {doing}: {text}")


def _why(error: BaseException, seconds: float) -> str:
    match error:
        case TimeoutError():
            return f"did not answer within {seconds:.1f} s; is it running, and does a firewall let you through?"
        case ConnectionRefusedError():
            return "refuses connections; is it running? `rabbitmqctl status` on its machine tells"
        case socket.gaierror():
            return f"has an address that cannot be found: {error.strerror}"
        case ssl.SSLError():
            return f"and this program do not agree on TLS: {error}; see broker_use_ssl"
        case driver.AccessRefused():
            return "does not accept the user or the password of the URL"
        case driver.NotAllowed():
            return f"does not let this user into the virtual host of the URL: {_said(error)}"
    return f"cannot be used: {_said(error)}"


def _said(error: BaseException) -> str:
    return str(getattr(error, "reply_text", None) or error) or type(error).__name__
