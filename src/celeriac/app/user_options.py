"""Options that an app adds to the command line: `app.user_options`, `click.Option` objects as Celery has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from celeriac.app.signals import user_preload_options
from celeriac.exceptions import ImproperlyConfigured

if TYPE_CHECKING:
    import click

    from celeriac.app.application import Celery

PRELOAD: Final = "preload"
WORKER: Final = "worker"


def options_of_worker(app: Celery) -> list[click.Parameter]:
    """Return the options that `celeriac worker` takes for an app beside its own."""
    found = [*app.user_options[PRELOAD], *app.user_options[WORKER]]
    return sorted(found, key=lambda option: option.name or "")


def read_own_options(app: Celery, words: Sequence[str]) -> dict[str, Any]:
    """Read what was said of an app's own options, and tell the receivers of `user_preload_options`.

    Args:
        words: of the command line, those of other options left out.

    Returns:
        The value of each option, by name; the default of those of which nothing was said.

    Raises:
        ImproperlyConfigured: they cannot be read.
    """
    options = options_of_worker(app)
    if not options:
        return {}
    import click  # of those who have made such options

    try:
        with click.Command("worker", params=options).make_context("worker", list(words)) as context:
            values: dict[str, Any] = dict(context.params)
    except click.ClickException as error:
        raise ImproperlyConfigured(error.format_message()) from error
    _tell(app, values)
    return values


def _tell(app: Celery, values: Mapping[str, Any]) -> None:
    names = {option.name for option in app.user_options[PRELOAD]}
    if names and user_preload_options.receivers:
        user_preload_options.send(sender=app, app=app, options={name: values[name] for name in values if name in names})
