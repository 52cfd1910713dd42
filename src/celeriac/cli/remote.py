"""What `celeriac control`, `inspect` and `status` share: options, arguments of commands, and how answers are shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pprint import pformat
from typing import Any, Final

import click

from celeriac.app.application import Celery
from celeriac.app.imports import ModuleFailed, ModuleMissing
from celeriac.cli.apps import app_to_look_at, open_app
from celeriac.cli.output import Output, plural
from celeriac.cli.session import Session
from celeriac.cli.values import names, seconds
from celeriac.worker.commands.panel import CommandInfo, Kind
from celeriac.worker.commands.plugins import load_plugins
from celeriac.worker.commands.table import commands_of

UNREACHABLE: Final = 69

Decorated = Callable[..., Any]


def remote_options(command: Decorated) -> Decorated:
    """Add the options that all three take."""
    for option in (
        click.option("-j", "json_too", is_flag=True, expose_value=False, callback=_as_json, help="The same as --json."),
        click.option("-d", "--destination", type=names, metavar="A,B", help="Only these nodes, such as w1@host."),
        click.option(
            *("-t", "--timeout"),
            type=seconds,
            default=1.0,
            show_default=True,
            metavar="SECONDS",
            help="How long to wait for answers.",
        ),
    ):
        command = option(command)
    return command


def _as_json(context: click.Context, param: click.Parameter, given: bool) -> None:
    if given:
        context.find_root().ensure_object(Session).json = True


def list_option(kind: Kind) -> Callable[[Decorated], Decorated]:
    """Add `--list`, which shows the commands of a kind."""
    return click.option("--list", "listed", is_flag=True, help=f"List the {kind} commands and end.")


def show_commands(session: Session, kind: Kind) -> None:
    """Write what commands of a kind there are, those of the app included."""
    _load(app_to_look_at(session), session.output)
    found = commands_of(kind)
    if session.json:
        told = {name: {"help": info.help, "arguments": info.signature} for name, info in found.items()}
        session.output.document(told)
        return
    formatter = click.HelpFormatter()
    with formatter.section(f"{kind.capitalize()} Commands"):
        formatter.write_dl([(f"{name} {info.signature or ''}".rstrip(), info.help) for name, info in found.items()])
    session.output.line(formatter.getvalue().rstrip())


def app_for(session: Session, kind: Kind, command: str) -> tuple[Celery, CommandInfo]:
    """Open the app, and find a command of a kind in it.

    Raises:
        click.UsageError: there is none of that name.
    """
    app = open_app(session)
    found = commands_of(kind).get(command)
    if found is None:  # one of the app's own, perhaps
        _load(app, session.output)
        found = commands_of(kind).get(command)
    if found is None:
        raise click.UsageError(f"there is no {kind} command {command!r}. There are: {', '.join(commands_of(kind))}.")
    return app, found


def _load(app: Celery, output: Output) -> None:
    """Import the modules of the app and what packages bring along, which may have commands of their own."""
    load_plugins()
    try:
        app.load_tasks()
    except (ModuleFailed, ModuleMissing) as error:
        output.warn(str(error))


def arguments_for(info: CommandInfo, command: str, given: Sequence[str]) -> dict[str, Any]:
    """Return what is said to nodes for the words that somebody has typed after a command.

    Raises:
        click.UsageError: there are too many, or one of them cannot be read.
    """
    said: dict[str, Any] = {}
    places = list(info.args or ())
    for (name, read), text in zip(places, given, strict=False):
        try:
            said[name] = text if read is None else read(text)
        except ValueError as error:
            raise click.UsageError(f"{name} of {command}: {error}.") from error
    rest = list(given[len(places) :])
    if info.variadic is not None:
        said[info.variadic] = rest
    elif rest:
        raise click.UsageError(
            f"{command} takes {info.signature or 'no arguments'}; there is no place for {rest[0]!r}."
        )
    return said


class Answers:
    """Show answers as they come in, as Celery's command line does.

    Args:
        with_bodies: what nodes say is shown, not only that they do.
    """

    def __init__(self, output: Output, *, with_bodies: bool = True) -> None:
        self._output = output
        self._with_bodies = with_bodies
        self.failed = False

    def show(self, answer: Mapping[str, Any]) -> None:
        """Show the answer of one node."""
        for node, said in answer.items():
            status, body = self._told(said)
            head = "" if self._output.quiet else f"{self._output.paint('->', fg='white', bold=True)}  "
            self._output.line(f"{head}{self._output.paint(f'{node}:', fg='cyan', bold=True)} {status}")
            if self._with_bodies and body:
                self._output.line(indented(body))

    def note(self, said: Any) -> None:
        """Learn whether a node could do what it was told."""
        self.failed = self.failed or (isinstance(said, Mapping) and set(said) == {"error"})

    def _told(self, said: Any) -> tuple[str, str]:
        done = self._output.paint("OK", fg="green", bold=True)
        match said:
            case {"ok": value}:
                return done, indented(self._body(value))
            case {"error": value}:
                return self._output.paint("ERROR", fg="red", bold=True), indented(self._body(value))
        return done, self._body(said)

    def _body(self, value: Any) -> str:
        match value:
            case []:
                return "- empty -"
            case list():
                return "\n".join(f"* {one}" for one in value)
            case dict():
                return json.dumps(value, sort_keys=True, indent=4, default=str)
            case str():
                return value
        return pformat(value)


def indented(text: str) -> str:
    """Move a text to the right."""
    return "\n".join(f"    {line}" for line in text.split("\n"))


class NobodyAnswered(click.ClickException):
    """End a command to which no node has answered."""

    exit_code = UNREACHABLE

    def __init__(self) -> None:
        super().__init__("No nodes replied within time constraint")


def show_who_answered(session: Session, answers: Mapping[str, Any] | None) -> None:
    """Write what looks at nodes end with: how many have answered, or with `--json` all that they have said.

    Raises:
        NobodyAnswered: none has.
    """
    if not answers:
        raise NobodyAnswered
    if session.json:
        session.output.document(answers)
    elif not session.quiet:
        session.output.line(f"\n{len(answers)} {plural('node', len(answers))} online.")
