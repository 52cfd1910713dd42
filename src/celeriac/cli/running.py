"""Run a node, and again when it asks for that: as the same process, with the same arguments."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import NoReturn

import click

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker.options import NodeOptions
from celeriac.worker.processes import run
from celeriac.worker.reloading import Reload, require_library, wait_for_change
from celeriac.worker.shutdown import EXIT_RESTART


def run_again_and_again(options: NodeOptions, started_in: Path) -> int:
    """Run a node until it stops for good; return its exit code.

    With `reload`, an app that cannot be imported does not end it: it waits for the next change.

    Args:
        started_in: the working directory in which the arguments of this process were meant.

    Raises:
        ImproperlyConfigured: the app cannot be found, or its settings cannot work.
    """
    if options.reload:
        require_library()
    began_at = time.time()
    try:
        code = run(options)
    except ImproperlyConfigured as error:
        if not options.reload:
            raise
        click.secho(f"Error: {error}\nWaiting for a source to change ...", err=True)
        click.echo(f"{wait_for_change(Reload(Path.cwd(), began_at))} has changed: starting", err=True)
        code = EXIT_RESTART
    if code == EXIT_RESTART:
        start_again(started_in)
    return code


def start_again(started_in: Path) -> NoReturn:
    """Become what this process was at its start: its id stays, and nothing of what it has imported."""
    os.chdir(started_in)
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
