"""What Celery takes on the command line and celeriac does not: answered, never silently ignored."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import click


class Later(NamedTuple):
    """Say what an option or a command comes with, and what to do meanwhile."""

    part: str
    meanwhile: str = ""

    def __str__(self) -> str:
        """Complete a sentence that begins with its name."""
        return f"comes with {self.part}, which this version of celeriac does not have yet. {self.meanwhile}".rstrip()


_SCHEDULES: Final = "schedules and beat"
_CRON: Final = "Until then have cron or a systemd timer run `celeriac call`."

LATER_FLAGS: Final = {
    ("-B", "--beat"): Later(_SCHEDULES, _CRON),
}
"""Flags that are to come."""

LATER_OPTIONS: Final = {
    ("-s", "--schedule-filename", "--schedule"): Later(_SCHEDULES, _CRON),
    ("--scheduler",): Later(_SCHEDULES, _CRON),
    ("--executable",): Later(
        "starting another interpreter", "Start the worker with it: path/to/python -m celeriac worker -D ..."
    ),
}
"""Options with a value, likewise."""

NEEDLESS_FLAGS: Final = {
    ("--without-mingle",): "nodes do not mingle at the start",
    ("--no-execv",): "children are forked",
}
"""Flags that switch off what is not there in the first place, with the reason why they have no effect."""

NEEDLESS_OPTIONS: Final = {
    ("-S", "--statedb"): "what was revoked is kept by the broker, for all nodes and over restarts",
}
"""Options with a value, likewise."""

LATER_COMMANDS: Final = {
    "beat": Later(_SCHEDULES, _CRON),
    "flower": Later("the web page"),
    "graph": Later("pictures of nodes", "`celeriac inspect stats` shows their numbers."),
    "logtool": Later("tools for log files"),
    "multi": Later("starting several workers at once", "Start each with its own -n, and -D."),
    "upgrade": Later("tools for moving from Celery", "Old names of settings are understood as they are."),
}
"""Commands of Celery that are to come."""

LOADER_VARIABLE: Final = "CELERY_LOADER"
CONFIG_VARIABLE: Final = "CELERIAC_CONFIG_MODULE"

Decorated = Callable[..., Any]


def global_options_of_celery(command: Decorated) -> Decorated:
    """Add what Celery takes before every command. Help does not list it."""
    command = _hidden(("--loader",), _name_loader, takes_value=True)(command)
    command = _hidden(("--config",), _name_settings, takes_value=True)(command)
    return _hidden(("--skip-checks",), _shrugging("no checks run at the start"), takes_value=False)(command)


def worker_options_of_celery(command: Decorated) -> Decorated:
    """Add what Celery's worker takes and ours does not. Help does not list it."""
    for flags, later in (LATER_FLAGS | LATER_OPTIONS).items():
        command = _hidden(flags, _refusing(later), takes_value=flags in LATER_OPTIONS)(command)
    for flags, reason in (NEEDLESS_FLAGS | NEEDLESS_OPTIONS).items():
        command = _hidden(flags, _shrugging(reason), takes_value=flags in NEEDLESS_OPTIONS)(command)
    return command


def _hidden(flags: tuple[str, ...], callback: Decorated, *, takes_value: bool) -> Callable[[Decorated], Decorated]:
    # Eager, so that they are answered before `--help` ends the command.
    return click.option(
        *flags, callback=callback, is_flag=not takes_value, expose_value=False, hidden=True, is_eager=True
    )


def _refusing(later: Later) -> Decorated:
    def refuse(context: click.Context, param: click.Parameter, given: object) -> None:
        if given:
            raise click.UsageError(f"{' / '.join(param.opts)} {later}", context)

    return refuse


def _shrugging(reason: str) -> Decorated:
    def shrug(context: click.Context, param: click.Parameter, given: object) -> None:
        if given:
            click.echo(f"{' / '.join(param.opts)} has no effect here: {reason}.", err=True)

    return shrug


def _name_loader(context: click.Context, param: click.Parameter, given: str | None) -> None:
    """Have an app that names no loader have one of a class, in every process of this command."""
    if given:
        os.environ[LOADER_VARIABLE] = given


def _name_settings(context: click.Context, param: click.Parameter, given: str | None) -> None:
    """Have an app that reads no settings of its own read those of a module, in every process of this command."""
    if given:
        os.environ[CONFIG_VARIABLE] = given
