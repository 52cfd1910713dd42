"""`celeriac doctor`: whether everything is in order, and what to do where it is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict

import click

from celeriac.app.imports import ModuleFailed
from celeriac.cli import checks
from celeriac.cli.apps import locate, without_app
from celeriac.cli.checks import Finding
from celeriac.cli.output import plural
from celeriac.cli.pages import Command
from celeriac.cli.session import Session, pass_session
from celeriac.exceptions import CeleriacError, ImproperlyConfigured


@click.command("doctor", cls=Command)
@pass_session
def doctor(session: Session, /) -> int:
    """Check the installation, the app, the broker and the result backend.

    Ends with 1 when something is wrong, and says what to do.
    """
    findings = []
    for finding in examine(session):
        findings.append(finding)
        if not session.json:
            _print(session, finding)
    problems = [finding for finding in findings if finding.problem is not None]
    if session.json:
        session.output.document({"healthy": not problems, "findings": [asdict(finding) for finding in findings]})
    verdict = f"{len(problems)} {plural('problem', len(problems))}." if problems else "Everything is in order."
    session.output.say(verdict)
    return 1 if problems else 0


def examine(session: Session) -> Iterator[Finding]:
    """Make all checks, one after the other."""
    yield from checks.installation()
    session.enter_workdir()
    app = without_app(session)
    try:
        found = locate(session)
        found.app.load_tasks()
        app = found.app
        own = len(app.tasks.own())
        yield Finding(subject="app", found=f"{found.spec}, {own} {plural('task', own)}")
    except ImproperlyConfigured as error:
        yield _no_app(session, error)
    yield from checks.settings(app.conf)
    try:
        broker, backend = app.broker, app.backend
    except CeleriacError as error:
        yield Finding(subject="broker", found="cannot be made", problem=str(error))
        return
    yield from checks.broker(broker)
    yield from checks.backend(backend, broker)


def _no_app(session: Session, error: ImproperlyConfigured) -> Finding:
    """Say that there is no app, which is a problem unless none was asked for."""
    if isinstance(error, ModuleFailed):
        return Finding(subject="app", found="cannot be imported", problem=str(error))
    named = session.app_spec is not None or os.environ.get("CELERIAC_APP")
    return Finding(subject="app", found="none", problem=str(error) if named else None)


def _print(session: Session, finding: Finding) -> None:
    output = session.output
    mark = output.paint("ok", fg="green") if finding.problem is None else output.paint("!!", fg="red")
    output.line(f"{mark} {finding.subject:<16} {finding.found}")
    if finding.problem is not None:
        output.line("\n".join(f"      {line}" for line in finding.problem.splitlines()))
