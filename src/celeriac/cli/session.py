"""What one run of the command line was told by the options that every command takes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import click

from celeriac.cli.output import Output

if TYPE_CHECKING:
    from celeriac.app.application import Celery


@dataclass(kw_only=True)
class Session:
    """Hold the global options. The click contexts of one run share one as their object."""

    app_spec: str | None = None
    broker_url: str | None = None
    result_backend: str | None = None
    workdir: str | None = None
    no_color: bool | None = None
    quiet: bool = False
    json: bool = False

    @property
    def color(self) -> bool | None:
        """Whether to colour: as asked, else False under `NO_COLOR` (no-color.org), else None: on terminals."""
        if self.no_color is not None:
            return not self.no_color
        return False if os.environ.get("NO_COLOR") else None

    @cached_property
    def output(self) -> Output:
        """Where to write. Made on first use, when every option has been read."""
        return Output(as_json=self.json, quiet=self.quiet, color=self.color)

    @property
    def overrides(self) -> Mapping[str, object]:
        """Settings of the app that the command line replaces."""
        given = {"broker_url": self.broker_url, "result_backend": self.result_backend}
        return {name: url for name, url in given.items() if url is not None}

    @cached_property
    def app(self) -> Celery:
        """The app, for commands that packages add: what they find as `ctx.obj.app`."""
        from celeriac.cli.apps import open_app  # it needs a session, and other commands do not need this

        return open_app(self)

    def enter_workdir(self) -> None:
        """Change to the folder that `--workdir` names.

        Raises:
            click.UsageError: there is none, or it may not be entered.
        """
        if self.workdir is None:
            return
        try:
            os.chdir(self.workdir)
        except OSError as error:
            raise click.UsageError(f"--workdir: cannot change to {self.workdir!r}: {error.strerror}.") from error
        self.workdir = str(Path.cwd())


pass_session = click.make_pass_decorator(Session, ensure=True)
