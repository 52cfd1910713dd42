"""What Celery has in `celery.exceptions` for its command line."""

from __future__ import annotations

import click


class CeleryCommandException(click.ClickException):
    """End a command with a text and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        vars(self)["exit_code"] = exit_code  # click has it as an attribute of the class
