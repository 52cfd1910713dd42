"""Asking before something is destroyed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

Decorated = Callable[..., Any]


def destructive(command: Decorated) -> Decorated:
    """Add what every command has that cannot be undone: `--yes` and `--dry-run`."""
    command = click.option("--dry-run", is_flag=True, help="Only say what would be done.")(command)
    return click.option("-y", "--yes", "-f", "--force", "yes", is_flag=True, help="Do not ask.")(command)


def go_ahead(question: str, *, yes: bool) -> bool:
    """Ask on stderr, and say whether to do what `question` asks about.

    Raises:
        click.UsageError: nobody is there to answer.
    """
    if yes:
        return True
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = sys.stdin.readline()
    if not answer:
        click.echo(err=True)
        raise click.UsageError("nobody answered; add --yes to go ahead without being asked.")
    return answer.strip().lower() in ("y", "yes")
