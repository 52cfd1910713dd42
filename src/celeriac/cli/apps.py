"""The app that a command works on."""

from __future__ import annotations

import os

from celeriac.app.application import Celery
from celeriac.app.discovery import Found, find_app
from celeriac.app.imports import ModuleFailed
from celeriac.cli.session import Session
from celeriac.exceptions import ImproperlyConfigured


def open_app(session: Session) -> Celery:
    """Find the app, and say which one it is unless it was named.

    A command that was told the broker can do without an app.

    Raises:
        ImproperlyConfigured: there is none, and the text says what was tried; or what it sends stays in its process.
    """
    session.enter_workdir()
    app = _app_for(session)
    if not app.broker.capabilities.crosses_processes:
        raise ImproperlyConfigured(
            f"{app.broker.url} exists inside one process only, and this command is another; "
            "leave broker_url out for a SQLite file, or name one: sqlite:////path/to/file.sqlite3"
        )
    return app


def _app_for(session: Session) -> Celery:
    try:
        found = locate(session)
    except ImproperlyConfigured as error:
        app = without_app(session)
        if isinstance(error, ModuleFailed) or session.app_spec is not None or app.conf.broker_url is None:
            raise
        session.output.say(f"Working without an app: {error}")
        return app
    if session.app_spec is None:
        session.output.say(f"Using the app {found.spec}.")
    return found.app


def app_to_look_at(session: Session) -> Celery:
    """Find the app, for a command that only looks at it; where none was named and none is found, make one.

    Raises:
        ImproperlyConfigured: the one that was named is not there, or one that is there cannot be imported.
    """
    session.enter_workdir()
    try:
        found = locate(session)
    except ImproperlyConfigured as error:
        if isinstance(error, ModuleFailed) or session.app_spec is not None or os.environ.get("CELERIAC_APP"):
            raise
        session.output.say("Working without an app: none was named with -A, and none was found.")
        return without_app(session)
    if session.app_spec is None:
        session.output.say(f"Using the app {found.spec}.")
    return found.app


def locate(session: Session) -> Found:
    """Find the app, and give it the settings of the command line."""
    found = find_app(session.app_spec)
    found.app.conf.override(session.overrides)
    return found


def without_app(session: Session) -> Celery:
    """Make an app that knows no tasks, with the settings of the command line and the environment."""
    app = Celery()
    app.conf.override(session.overrides)
    return app
