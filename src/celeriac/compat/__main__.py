"""`python -m celeriac.compat`: the command `celery`."""

from __future__ import annotations

import click

from celeriac.compat.command import install_command, remove_command
from celeriac.exceptions import ImproperlyConfigured


@click.group()
def compat() -> None:
    """Have celeriac be found where Celery is looked for."""


@compat.command("install-command")
def install() -> None:
    """Write a command `celery` into this environment, which is `celeriac --as-celery`."""
    try:
        path = install_command()
    except (ImproperlyConfigured, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Wrote {path}.")


@compat.command("remove-command")
def remove() -> None:
    """Delete that command again."""
    try:
        path = remove_command()
    except (ImproperlyConfigured, OSError) as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"Deleted {path}." if path else "There is none.")


if __name__ == "__main__":
    compat(prog_name="python -m celeriac.compat")
