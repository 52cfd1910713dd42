"""The table of control commands: what each is called, what it takes, and the function that does it.

Celery's names, so that commands written for its workers are found here as they are: `Panel`, `control_command`,
`inspect_command`. The built-in ones are in other modules of this package, and `table.py` loads them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Literal, NamedTuple

Kind = Literal["control", "inspect"]
Handler = Callable[..., Any]

_own: Final[set[Handler]] = set()


class CommandInfo(NamedTuple):
    """Say how a command is given on the command line, and listed there.

    Attributes:
        alias: another name that nodes hear, or None.
        type: ``inspect`` looks, ``control`` changes something.
        visible: it is listed.
        default_timeout: seconds for which answers are usually waited for.
        help: one line about it.
        signature: its arguments, for people, or None.
        args: name and type of each positional argument of the command line, or None.
        variadic: name of the argument that takes all further ones, or None.
    """

    alias: str | None
    type: Kind
    visible: bool
    default_timeout: float
    help: str
    signature: str | None
    args: Sequence[tuple[str, Callable[[str], Any] | None]] | None
    variadic: str | None


class Panel:
    """Hold all commands, as class attributes: there is one table per process.

    A function is called with the `State` of the node, and with what was said as keyword arguments. What it returns is
    the answer; an exception is answered as ``{"error": ...}``. Those of users run in a thread of the supervisor's
    process, beside its loop; they may be coroutine functions.

    Attributes:
        data: functions by name, aliases included.
        meta: how each is given, by name.
    """

    data: ClassVar[dict[str, Handler]] = {}
    meta: ClassVar[dict[str, CommandInfo]] = {}

    @classmethod
    def register(cls, *args: Handler, **options: Any) -> Any:
        """Register a function as a command; used as a decorator, with or without options.

        Options are `name` (that of the function), `type` (``control``) and those of `CommandInfo`.
        """
        if args:
            return cls._register(args[0], **options)
        return lambda handler: cls._register(handler, **options)

    @classmethod
    def _register(
        cls,
        handler: Handler,
        *,
        name: str | None = None,
        alias: str | None = None,
        type: Kind = "control",
        visible: bool = True,
        default_timeout: float = 1.0,
        help: str | None = None,
        signature: str | None = None,
        args: Sequence[tuple[str, Callable[[str], Any] | None]] | None = None,
        variadic: str | None = None,
    ) -> Handler:
        if type not in ("control", "inspect"):
            raise ValueError(f"a command is of type 'control' or 'inspect', got {type!r}")
        name = name or handler.__name__
        line = help or (handler.__doc__ or "").strip().split("\n")[0]
        cls.data[name] = handler
        cls.meta[name] = CommandInfo(alias, type, visible, default_timeout, line, signature, args, variadic)
        if alias:
            cls.data[alias] = handler
        return handler


def control_command(*args: Handler, **options: Any) -> Any:
    """Register a function as a command that changes something; see `Panel.register`."""
    return Panel.register(*args, type="control", **options)


def inspect_command(*args: Handler, **options: Any) -> Any:
    """Register a function as a command that only looks; see `Panel.register`."""
    return Panel.register(*args, type="inspect", **options)


def built_in(kind: Kind, **options: Any) -> Callable[[Handler], Handler]:
    """Register one of our own commands, which runs in the supervisor's loop. A name that is taken stays taken."""

    def decorate(handler: Handler) -> Handler:
        _own.add(handler)
        name = options.get("name") or handler.__name__
        if name in Panel.data:
            return handler
        registered: Handler = Panel.register(handler, type=kind, **options)
        return registered

    return decorate


def is_built_in(handler: Handler) -> bool:
    """Say whether a function is one of our own commands."""
    return handler in _own


def ok(text: str) -> dict[str, str]:
    """Answer that a command was done."""
    return {"ok": text}


def not_ok(text: str) -> dict[str, str]:
    """Answer why a command was not done."""
    return {"error": text}
