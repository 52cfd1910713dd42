"""Commands and groups of the command line: the options they all take, and help that stays quick.

rich-click draws a help page when a person reads it on a terminal. Anywhere else click writes it, which saves importing
rich (40 ms).
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click
from click.core import ParameterSource

from celeriac import __version__
from celeriac.cli.output import Output, draws_pages
from celeriac.cli.session import Session
from celeriac.compat import install_as_celery
from celeriac.compat.finder import AS_CELERY

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

GLOBAL_PANEL = "Global options"


class Option(click.Option):
    """An option that help pages show under a heading of its own (rich-click, too, asks for `panel`)."""

    def __init__(self, *args: Any, panel: str | None = None, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.panel = panel


class _WithHelp(click.Command):
    """A command whose help is written as data is: when it cannot be, that is one line and an exit code."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _show_help
        return option


class Command(_WithHelp):
    """A command that takes the global options.

    Args:
        takes_json: whether it takes `--json` too.
    """

    def __init__(self, *args: Any, takes_json: bool = True, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.params += global_options(takes_json=takes_json)

    def get_help(self, ctx: click.Context) -> str:
        return _drawn(self, ctx, commands=()) if _is_drawn(ctx) else super().get_help(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        _write_options(self, ctx, formatter)


class Group(_WithHelp, click.Group):
    """A group that takes the global options, as its commands do."""

    command_class = Command

    def __init__(self, *args: Any, **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.params += global_options(takes_json=True)

    def summaries(self) -> Sequence[tuple[str, str]]:
        """Return the commands to list on the help page, each with a line about it."""
        return [(name, command.get_short_help_str(limit=100)) for name, command in self.commands.items()]

    def get_help(self, ctx: click.Context) -> str:
        return _drawn(self, ctx, commands=self.summaries()) if _is_drawn(ctx) else super().get_help(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(self.summaries())
        _write_options(self, ctx, formatter)


class Lazy(NamedTuple):
    """Name a command that is imported when it is called.

    Attributes:
        target: module and name of the click command, as ``module:name``.
        summary: its line in the list of commands.
    """

    target: str
    summary: str


class LazyGroup(Group):
    """A group whose help page imports none of its commands.

    Args:
        table: its commands by name, in the order in which help lists them.
        later: Celery's commands that are not there yet, each with what completes a sentence about it.
    """

    def __init__(self, *args: Any, table: Mapping[str, Lazy], later: Mapping[str, object], **attrs: Any) -> None:
        super().__init__(*args, **attrs)
        self.table = table
        self.later = later

    def summaries(self) -> Sequence[tuple[str, str]]:
        return [(name, lazy.summary) for name, lazy in self.table.items()]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.table)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command, without importing any, or an option."""
        from click.shell_completion import CompletionItem  # which only shells need

        names = [CompletionItem(name, help=text) for name, text in self.summaries() if name.startswith(incomplete)]
        return names + click.Command.shell_complete(self, ctx, incomplete)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.table:
            from celeriac.cli.plugins import command_of_package  # which reads what is installed

            ctx.find_root().ensure_object(Session)  # their `ctx.obj`
            return command_of_package(cmd_name)
        module, _, name = self.table[cmd_name].target.partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in self.later:
            ctx.fail(f"{name!r} {self.later[name]}")
        if name not in self.table and not name.startswith("-") and self.get_command(ctx, name) is None:
            ctx.fail(f"there is no command {name!r}. {_nearest(name, self.table)}")
        return super().resolve_command(ctx, args)


def global_options(*, takes_json: bool) -> list[click.Parameter]:
    """Make the options that may stand before or after any command; they fill the session."""
    options = [
        _remembered(["-A", "--app"], "app_spec", "The app: a module or module:name. Looked for when not given."),
        _remembered(["-b", "--broker"], "broker_url", "URL of the broker, instead of the app's.", metavar="URL"),
        _remembered(["--result-backend"], "result_backend", "URL of the result backend.", metavar="URL"),
        _remembered(["--workdir"], "workdir", "Change to this folder first.", metavar="FOLDER"),
        _remembered(["-C", "--no-color/--color"], "no_color", "Never or always colour; else on terminals."),
        _remembered(["-q", "--quiet"], "quiet", "Write data and errors only.", is_flag=True),
        Option(
            ["--as-celery"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_be_celery,
            help="Have `import celery` mean celeriac, in all processes of this command.",
            panel=GLOBAL_PANEL,
        ),
    ]
    if takes_json:
        options.append(_remembered(["--json"], "json", "Write data as JSON.", is_flag=True))
    return list(options)


def _remembered(flags: list[str], field: str, help_text: str, **attrs: Any) -> Option:
    def remember(context: click.Context, param: click.Parameter, value: Any) -> None:
        if context.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE:
            setattr(context.find_root().ensure_object(Session), field, value)

    # Eager, so that `-C --help` is read in this order. The name keeps clear of a command's own parameters.
    names = [*flags, f"global_{field}"]
    return Option(
        names, callback=remember, expose_value=False, is_eager=True, help=help_text, panel=GLOBAL_PANEL, **attrs
    )


def _be_celery(context: click.Context, param: click.Parameter, value: Any) -> None:
    if value and not context.resilient_parsing:
        install_as_celery()
        os.environ[AS_CELERY] = "1"


def _show_help(context: click.Context, param: click.Parameter, value: Any) -> None:
    if value and not context.resilient_parsing:
        Output().line(context.get_help())
        context.exit()


def show_version(context: click.Context, param: click.Parameter, value: Any) -> None:
    """Write the version and end, for an option that asks for it."""
    if value and not context.resilient_parsing:
        Output().line(f"celeriac {__version__}")
        context.exit()


def _nearest(name: str, names: Mapping[str, object]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names)}."


def _sections(command: click.Command, context: click.Context) -> dict[str, list[click.Parameter]]:
    """Return the options that help shows, by heading, the global ones last."""
    sections: dict[str, list[click.Parameter]] = {}
    for param in command.get_params(context):
        if isinstance(param, click.Option) and param.get_help_record(context) is not None:
            sections.setdefault(getattr(param, "panel", None) or "Options", []).append(param)
    shared = sections.pop(GLOBAL_PANEL, [])
    return {**sections, GLOBAL_PANEL: shared}


def _write_options(command: click.Command, context: click.Context, formatter: click.HelpFormatter) -> None:
    for heading, params in _sections(command, context).items():
        with formatter.section(heading):
            formatter.write_dl([record for param in params if (record := param.get_help_record(context))])


def _is_drawn(context: click.Context) -> bool:
    return draws_pages(color=context.find_root().ensure_object(Session).color)


def _drawn(command: click.Command, context: click.Context, *, commands: Sequence[tuple[str, str]]) -> str:
    """Draw a help page by way of a rich-click command with the same parameters."""
    from rich_click import RichCommand, RichCommandPanel, RichContext, RichGroup, RichOptionPanel, RichPanel

    panels: list[RichPanel[Any, Any]] = [
        RichOptionPanel(heading, options=[param.name or "" for param in params])
        for heading, params in _sections(command, context).items()
    ]
    attrs: dict[str, Any] = {"name": command.name, "params": command.params, "help": command.help, "panels": panels}
    twin: RichCommand
    if commands:
        listed = {name: click.Command(name, help=summary) for name, summary in commands}
        panels.insert(0, RichCommandPanel("Commands", commands=list(listed)))
        twin = RichGroup(commands=listed, **attrs)
    else:
        twin = RichCommand(**attrs)
    with RichContext(twin, info_name=context.info_name, parent=context.parent) as drawing:
        return twin.get_help(drawing)
