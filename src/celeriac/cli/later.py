"""What Celery takes on the command line and celeriac does not: answered, never silently ignored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import click

LATER_FLAGS: Final = {
    ("-D", "--detach"): "Let a service manager keep it running (systemd, supervisord), or start it with `nohup ... &`.",
    ("-E", "--task-events", "--events"): "",
    ("-B", "--beat"): "",
    ("--disable-prefetch",): "`-O fair` hands no message to a slot before it is free.",
    ("--autoreload",): "",
}
"""Flags that may come, each with what to do meanwhile."""

LATER_OPTIONS: Final = {
    ("-S", "--statedb"): "",
    ("-s", "--schedule-filename", "--schedule"): "",
    ("--scheduler",): "",
    ("--autoscale",): "Give a fixed number of processes with -c.",
    ("--time-limit",): "",
    ("--soft-time-limit",): "",
    ("--max-tasks-per-child", "--maxtasksperchild"): "",
    ("--max-memory-per-child",): "",
    ("--pool-start-method",): "Children are forked from a process that has no threads.",
    ("--pidfile",): "A service manager knows the process id without it.",
    ("--uid",): "Start the worker as the user that it is to run as.",
    ("--gid",): "Start the worker as the group that it is to run as.",
    ("--umask",): "Set it before: umask 027; celeriac worker ...",
    ("--executable",): "Start the worker with that interpreter: path/to/python -m celeriac worker ...",
}
"""Options with a value that may come, likewise."""

LATER_GLOBAL: Final = {
    ("--loader",): "",
    ("--config",): "Name the module in CELERIAC_CONFIG_MODULE.",
}
"""Options of every command that may come, likewise; both take a value."""

NEEDLESS_FLAGS: Final = {
    ("--without-gossip",): "nodes do not gossip",
    ("--without-mingle",): "nodes do not mingle at the start",
    ("--without-heartbeat",): "nodes send no heartbeat events",
    ("--no-execv",): "children are forked",
}
"""Flags that switch off what is not there in the first place, with the reason why they have no effect."""

NEEDLESS_OPTIONS: Final = {("--heartbeat-interval",): "nodes send no heartbeat events"}
"""Options with a value, likewise."""

Decorated = Callable[..., Any]


def global_options_of_celery(command: Decorated) -> Decorated:
    """Add what Celery takes before every command. Help does not list it."""
    for flags, hint in LATER_GLOBAL.items():
        command = _hidden(flags, _refusing(hint), takes_value=True)(command)
    return _hidden(("--skip-checks",), _shrugging("no checks run at the start"), takes_value=False)(command)


def worker_options_of_celery(command: Decorated) -> Decorated:
    """Add what Celery's worker takes. Help does not list it."""
    for flags, hint in (LATER_FLAGS | LATER_OPTIONS).items():
        command = _hidden(flags, _refusing(hint), takes_value=flags in LATER_OPTIONS)(command)
    for flags, reason in (NEEDLESS_FLAGS | NEEDLESS_OPTIONS).items():
        command = _hidden(flags, _shrugging(reason), takes_value=flags in NEEDLESS_OPTIONS)(command)
    return command


def _hidden(flags: tuple[str, ...], callback: Decorated, *, takes_value: bool) -> Callable[[Decorated], Decorated]:
    return click.option(*flags, callback=callback, is_flag=not takes_value, expose_value=False, hidden=True)


def _refusing(hint: str) -> Decorated:
    def refuse(context: click.Context, param: click.Parameter, given: object) -> None:
        if given:
            flag = " / ".join(param.opts)
            raise click.UsageError(f"{flag} is not available in this version of celeriac yet. {hint}".rstrip(), context)

    return refuse


def _shrugging(reason: str) -> Decorated:
    def shrug(context: click.Context, param: click.Parameter, given: object) -> None:
        if given:
            click.echo(f"{param.opts[0]} has no effect here: {reason}.", err=True)

    return shrug
