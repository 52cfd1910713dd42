"""A driver's error in our words: what happened, to which server, what to do. No driver's type leaves this package.

There are three kinds of bad news. The server could not be reached, and nothing has happened (`unreachable`). It was
asked and the answer is missing, so that nobody knows (`unanswered`). Or it answered that it will not (`refusal`).
"""

from __future__ import annotations

import enum
import errno
import re
import socket
import ssl
from typing import Final

from celeriac.exceptions import BrokerFull, BrokerUnavailable, ExtraMissing, OperationalError

try:  # here, because all that needs the driver imports this file before it
    from redis import exceptions as driver
except ImportError as missing:
    raise ExtraMissing('redis:// needs more packages: pip install "celeriac[redis]"') from missing

DriverError: Final = driver.RedisError
"""The root of what the driver raises."""

PASSING: Final = frozenset(
    ("ASK", "BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "NOREPLICAS", "READONLY", "TRYAGAIN")
)
"""Answers of a server that did nothing, and that may be another one a moment later."""

ELSEWHERE: Final = frozenset(("ASK", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MOVED", "READONLY"))
"""Those of them after which it is better to connect anew: another server may be the master by now."""

_OLD_SCRIPT_ERROR: Final = re.compile(r"@user_script: ?\d+: -?(?P<text>[A-Z]{2,} .*)", re.DOTALL)
_CODE: Final = re.compile(r"-?(?P<code>[A-Z][A-Z]+)(?: |$)")

_CURES: Final = {
    "BUSY": "runs a script that does not end; SCRIPT KILL ends it",
    "CLUSTERDOWN": "is part of a cluster that is down",
    "LOADING": "is loading its data after a start",
    "MASTERDOWN": "is a replica without a master",
    "NOREPLICAS": "has fewer replicas than it wants for a write (min-replicas-to-write)",
    "READONLY": "is a replica, which takes no writes; a failover is under way, or the URL names the wrong server",
    "TRYAGAIN": "is moving keys to another node of its cluster",
    "MISCONF": "cannot save its data and takes no writes; see its log and the room on its disk",
    "NOAUTH": "wants a password; write it into the URL: redis://:password@host/0",
    "WRONGPASS": "does not accept the user or the password of the URL",
    "NOPERM": "does not let this user do that; see ACL LIST on the server",
    "ASK": "is moving keys to another node of its cluster",
    "MOVED": "is a node of a cluster that does not have these keys",
    "CROSSSLOT": "is a cluster that spreads these keys; all need one hash tag in their global_keyprefix",
}
_LOGIN_CODES: Final = frozenset(("NOAUTH", "WRONGPASS"))


class ServerError(Exception):
    """Carry an error that a server answered.

    Attributes:
        code: its first word, such as ``WRONGTYPE``; of an error inside a script, the command's.
        text: all of it.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        inner = _OLD_SCRIPT_ERROR.search(text)  # Redis before 7 wraps what a command in a script answered
        self.text = inner["text"] if inner else text
        found = _CODE.match(self.text)
        self.code = found["code"] if found else "ERR"


def as_server_error(error: driver.RedisError) -> ServerError | None:
    """Return what the server answered, for an error of the driver that stands for an answer."""
    code = _CODES_OF_DRIVER.get(type(error).__name__)
    if code == "WRONGPASS" and _NO_PASSWORD.search(str(error)):
        code = "NOAUTH"
    if code is not None:
        return ServerError(f"{code} {error}")
    return ServerError(str(error)) if isinstance(error, driver.ResponseError) else None


_NO_PASSWORD: Final = re.compile("Authentication required|client already authenticated")

# redis-py cuts the code off the text of the answers that it has a class for.
_CODES_OF_DRIVER: Final = {
    "AuthenticationError": "WRONGPASS",
    "BusyLoadingError": "LOADING",
    "ClusterCrossSlotError": "CROSSSLOT",
    "ClusterDownError": "CLUSTERDOWN",
    "ExecAbortError": "EXECABORT",
    "MasterDownError": "MASTERDOWN",
    "MovedError": "MOVED",
    "NoPermissionError": "NOPERM",
    "NoScriptError": "NOSCRIPT",
    "OutOfMemoryError": "OOM",
    "ReadOnlyError": "READONLY",
    "TryAgainError": "TRYAGAIN",
}


class Step(enum.Enum):
    """Say how far connecting had come."""

    CONNECT = "connect"
    TLS = "TLS"
    LOG_IN = "log in"


def unreachable(error: BaseException, where: str, seconds: float, step: Step) -> BrokerUnavailable:
    """Say why a server could not be reached.

    Args:
        error: what happened.
        where: the server, for people.
        seconds: for how long it was tried.
        step: where it ended.
    """
    return BrokerUnavailable(f"redis at {where} {_why(error, seconds, step)}")


def unanswered(error: BaseException, where: str, command: str, seconds: float, *, sent: bool) -> BrokerUnavailable:
    """Say that there is no answer to a command.

    Args:
        error: what happened.
        where: the server, for people.
        command: its name.
        seconds: for how long it was tried.
        sent: it may have been executed.
    """
    if isinstance(error, ServerError):
        return BrokerUnavailable(
            f"redis at {where} {_said(error)} ({command}, for {seconds:.1f} s)", maybe_published=sent
        )
    text = f"did not answer {command} within {seconds:.1f} s"
    if not isinstance(error, TimeoutError):
        text = f"closed the connection before it answered {command}, and was not back within {seconds:.1f} s"
    return BrokerUnavailable(f"redis at {where} {text}", maybe_published=sent)


def refusal(error: ServerError, where: str, command: str) -> OperationalError:
    """Say what a server answered in place of doing something."""
    if error.code == "OOM":
        return BrokerFull(
            f"redis at {where} has reached its memory limit and refused {command}; "
            "raise maxmemory, or have workers drain the queues"
        )
    kind = BrokerUnavailable if error.code in PASSING or error.code in _LOGIN_CODES | {"MISCONF"} else OperationalError
    return kind(f"redis at {where} {_said(error)} ({command})")


def _said(error: ServerError) -> str:
    cure = _CURES.get(error.code)
    return f"{cure}: {error.text!r}" if cure else f"answered {error.text!r}"


def _why(error: BaseException, seconds: float, step: Step) -> str:
    """Complete the sentence "redis at cache:6379 …"."""
    match error:
        case ServerError():
            return _said(error)
        case socket.gaierror():
            return f"has no address: {error.strerror}; check the host in the URL, and the name server"
        case ssl.SSLCertVerificationError():
            return (
                f"shows a certificate that is not accepted: {error.verify_message}; "
                "name the authority's file in ssl_ca_certs"
            )
        case ssl.SSLError():
            return f"does not speak TLS as asked for: {error.reason or error}; redis:// is without, rediss:// with TLS"
        case TimeoutError():
            return _SILENCE[step].format(seconds=seconds)
        case ConnectionRefusedError():
            return "refused the connection; is the server running there?"
        case FileNotFoundError():
            return "has no such socket; is the server running, with this unixsocket?"
        case PermissionError():
            return "has a socket that this user may not use; see unixsocketperm"
        case ConnectionResetError() | BrokenPipeError():
            return _END[step]
        case OSError() if error.errno == errno.EMFILE:
            return "cannot be reached: this process has too many open files"
        case OSError():
            return f"cannot be reached: {error.strerror or error}"
    return f"cannot be used: {error}"


_SILENCE: Final = {
    Step.CONNECT: "did not answer within {seconds:.1f} s; does something between here and there drop packets?",
    Step.TLS: "did not answer a greeting in TLS within {seconds:.1f} s; redis:// is without TLS",
    Step.LOG_IN: "took the connection and did not let this program log in within {seconds:.1f} s; is it stalled?",
}
_END: Final = {
    Step.CONNECT: "reset the connection",
    Step.TLS: "closed the connection at a greeting in TLS; redis:// is without TLS",
    Step.LOG_IN: "closed the connection at once; when it wants TLS the URL begins with rediss://",
}
