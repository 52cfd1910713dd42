"""Commands that packages add to the command line: click commands, in our group of entry points or in Celery's."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Final

import click

GROUPS: Final = ("celeriac.commands", "celery.commands")
"""Ours goes first where both have a command of one name."""


def command_of_package(name: str) -> click.Command | None:
    """Load a command that a package has; None where none has one of that name.

    Raises:
        click.ClickException: it cannot be loaded, or is no click command.
    """
    for group in GROUPS:
        for one in entry_points(group=group, name=name):
            try:
                found = one.load()
            except Exception as error:
                raise click.ClickException(f"the command {name!r} ({one.value}) cannot be loaded: {error!r}") from error
            if not isinstance(found, click.Command):
                raise click.ClickException(f"the command {name!r} ({one.value}) is no click command: {found!r}")
            return found
    return None
