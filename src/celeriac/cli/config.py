"""`celeriac config`: what settings are, and where they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import click

from celeriac.app.config import Settings
from celeriac.cli.apps import app_to_look_at
from celeriac.cli.pages import Group
from celeriac.cli.session import Session, pass_session
from celeriac.masking import masked

COLUMNS: Final = ("setting", "value", "origin")


@click.group("config", cls=Group)
def config() -> None:
    """See what settings are, and where they come from."""


@config.command("show")
@click.argument("names", metavar="[NAME]...", nargs=-1)
@click.option("--origin", is_flag=True, help="Say where each comes from.")
@click.option("--all", "everything", is_flag=True, help="Those at their defaults, too.")
@pass_session
def show(session: Session, /, names: tuple[str, ...], origin: bool, everything: bool) -> None:
    """Print the settings that are not at their defaults, or those named.

    Passwords and keys are not shown.

    \b
      celeriac -A shop config show --origin
      celeriac -A shop config show --json broker_url task_time_limit
    """
    conf = app_to_look_at(session).conf
    rows = [_row(conf, name) for name in _chosen(conf, names, everything=everything)]
    if not rows:
        session.output.say("Every setting is at its default; --all shows them.")
    if session.json:
        session.output.document(rows)
    else:
        columns = COLUMNS if origin else COLUMNS[:-1]
        session.output.table(columns, ({**row, "value": repr(row["value"])} for row in rows))


def _chosen(conf: Settings, names: Iterable[str], *, everything: bool) -> Iterable[str]:
    if names:
        return [conf.setting(name).name for name in names]
    if everything:
        return conf.keys()
    return sorted(name for name, value in conf.without_defaults().items() if value != conf.setting(name).default)


def _row(conf: Settings, name: str) -> Mapping[str, Any]:
    setting = conf.setting(name)
    return {
        "setting": name,
        "value": masked(name, conf[name]),
        "origin": conf.origin_of(name),
        "default": masked(name, setting.default),
        "effective": setting.effective,
    }
