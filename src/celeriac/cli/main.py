"""The entry of the command line: which commands there are, and what a run of one ends with."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Sequence
from typing import Final

import click

from celeriac.cli.later import LATER_COMMANDS, global_options_of_celery
from celeriac.cli.pages import Lazy, LazyGroup, show_version
from celeriac.exceptions import CeleriacError, CeleriacWarning, ImproperlyConfigured, OperationalError, TimeoutError

FAILED: Final = 1
USAGE: Final = 2
UNREACHABLE: Final = 69
TIMED_OUT: Final = 75
INTERRUPTED: Final = 130

_formatted: Final = warnings.formatwarning

COMMANDS: Final = {
    "worker": Lazy("celeriac.cli.worker:worker", "Start a worker node."),
    "call": Lazy("celeriac.cli.call:call", "Call a task by name and print the id of the call."),
    "result": Lazy("celeriac.cli.result:result", "Print what a call returned, or how it failed."),
    "task": Lazy("celeriac.cli.task:task", "See tasks and runs; revoke or cancel runs."),
    "status": Lazy("celeriac.cli.status:status", "List the nodes that answer."),
    "inspect": Lazy("celeriac.cli.inspect:inspect", "Ask nodes what they do."),
    "control": Lazy("celeriac.cli.control:control", "Tell nodes to do something, while they run."),
    "purge": Lazy("celeriac.cli.purge:purge", "Delete the messages that wait in queues."),
    "events": Lazy("celeriac.cli.events:events", "See what nodes and tasks do, as it happens."),
    "queue": Lazy("celeriac.cli.queue:queue", "See what queues hold; give future messages to Celery."),
    "dlq": Lazy("celeriac.cli.dlq:dlq", "Look at dead letters; replay or discard them."),
    "migrate": Lazy("celeriac.cli.migrate:migrate", "Give messages back to Celery's workers."),
    "list": Lazy("celeriac.cli.listing:listing", "See what leads to queues."),
    "amqp": Lazy("celeriac.cli.amqp:amqp", "Give single commands to RabbitMQ."),
    "route": Lazy("celeriac.cli.route:route", "See where calls go, and why."),
    "migrate-from-celery": Lazy(
        "celeriac.cli.migrate_from_celery:migrate_from_celery",
        "Show what changes in a program that is written for Celery, and change it.",
    ),
    "config": Lazy("celeriac.cli.config:config", "See what settings are, and where they come from."),
    "doctor": Lazy("celeriac.cli.doctor:doctor", "Check the installation, the broker and the result backend."),
    "report": Lazy("celeriac.cli.report:report", "Print what belongs into a bug report."),
    "shell": Lazy("celeriac.cli.shell:shell", "Start Python with the app and its tasks at hand."),
    "completion": Lazy("celeriac.cli.completion:completion", "Print what has a shell complete commands and options."),
}


@click.group(cls=LazyGroup, table=COMMANDS, later=LATER_COMMANDS)
@global_options_of_celery
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=show_version,
    help="Show the version and exit.",
)
def celeriac() -> None:
    """Run tasks in the background: start workers, call tasks, look at queues.

    Global options may stand before or after the command.
    """


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    0 done, 1 failed, 2 wrong usage or configuration, 69 broker or result backend not reachable, 75 timed out waiting,
    130 interrupted.
    """
    before, warnings.formatwarning = warnings.formatwarning, _in_one_line
    try:
        code = celeriac.main(args, prog_name="celeriac", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except CeleriacError as error:
        click.secho(f"Error: {error}", err=True)
        return exit_code(error)
    except (KeyboardInterrupt, click.Abort):
        click.echo("Interrupted.", err=True)
        return INTERRUPTED
    finally:
        warnings.formatwarning = before
    return code if isinstance(code, int) else 0


def program() -> int:
    """Run the command line as all that this process does; return the exit code. No signal changes it from then on."""
    code = main()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)  # a handler would be taken away before modules are cleaned up
    return code


def _in_one_line(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Write a warning of ours without the place in the code, which says nothing to whoever types a command."""
    if issubclass(category, CeleriacWarning):
        return f"Warning: {message}\n"
    return _formatted(message, category, filename, lineno, line)


def exit_code(error: CeleriacError) -> int:
    """Return the code to end with after an error that no command handled."""
    match error:
        case ImproperlyConfigured():
            return USAGE
        case OperationalError():
            return UNREACHABLE
        case TimeoutError():
            return TIMED_OUT
        case _:
            return FAILED
