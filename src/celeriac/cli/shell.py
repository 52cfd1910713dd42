"""`celeriac shell`: Python with the app and its tasks at hand."""

from __future__ import annotations

import code
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, Final

import click

from celeriac import __version__
from celeriac.app.application import Celery
from celeriac.cli.apps import app_to_look_at
from celeriac.cli.later import Later
from celeriac.cli.pages import Command
from celeriac.cli.session import Session, pass_session

FROM_PACKAGE: Final = (
    *("Task", "signature", "subtask", "chain", "group", "chord", "chunks", "xmap", "xstarmap"),
    *("AsyncResult", "GroupResult", "ResultSet"),
)
"""What Celery's shell has at hand, and results; what this version does not have is left out."""

Shell = Callable[[dict[str, Any]], None]

_GREEN: Final = Later("green pools")


@click.command("shell", cls=Command, takes_json=False)
@click.option("-I", "--ipython", is_flag=True, help="With IPython.")
@click.option("-B", "--bpython", is_flag=True, help="With bpython.")
@click.option("--python", is_flag=True, help="With Python alone, as without any of these.")
@click.option("-T", "--without-tasks", is_flag=True, help="Without the names of tasks.")
@click.option("--eventlet", is_flag=True, hidden=True)
@click.option("--gevent", is_flag=True, hidden=True)
@pass_session
def shell(session: Session, /, without_tasks: bool, **chosen: bool) -> None:
    """Start Python with the app and its tasks at hand.

    There are `app` (also as `celery`), its tasks under the names of their functions, `tasks` with all of them by their
    full names, and what calls are made of (`signature` and the like). A program on standard input is run as it is.

    \b
      celeriac -A shop shell
      echo 'print(pay.delay(1200).id)' | celeriac -A shop shell
    """
    refuse_green(chosen)
    app = app_to_look_at(session)
    app.load_tasks()
    app.set_current()  # what is imported there, such as AsyncResult, means this app
    names = namespace(app, with_tasks=not without_tasks)
    if not _is_interactive():
        exec(compile(sys.stdin.read(), "<stdin>", "exec"), names)
        return
    start = ipython if chosen["ipython"] else bpython if chosen["bpython"] else python
    start(names)


def _is_interactive() -> bool:
    return sys.stdin.isatty()


def refuse_green(chosen: Mapping[str, bool]) -> None:
    """Refuse Celery's flags that patch the shell's process.

    Raises:
        click.UsageError: one of them is there.
    """
    for flag in ("eventlet", "gevent"):
        if chosen[flag]:
            raise click.UsageError(f"--{flag} {_GREEN}")


def namespace(app: Celery, *, with_tasks: bool) -> dict[str, Any]:
    """Return the names that a shell has: of two tasks whose functions have one name, the last registered is there."""
    names: dict[str, Any] = {"__name__": "__console__", "app": app, "celery": app, "tasks": app.tasks}
    package = sys.modules["celeriac"]
    names |= {name: found for name in FROM_PACKAGE if (found := getattr(package, name, None)) is not None}
    if with_tasks:
        names |= {name.rpartition(".")[2]: task for name, task in app.tasks.items() if not name.startswith("celery.")}
    return names


def python(names: dict[str, Any]) -> None:
    """Talk to Python alone."""
    try:
        import readline
        import rlcompleter
    except ImportError:  # not every build of Python has it; it only completes and remembers
        pass
    else:
        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner=_banner(names), local=names, exitmsg="")


def ipython(names: dict[str, Any]) -> None:
    """Talk to Python by way of IPython."""
    _optional("IPython", "-I", "ipython").start_ipython(argv=[], user_ns=names)


def bpython(names: dict[str, Any]) -> None:
    """Talk to Python by way of bpython."""
    _optional("bpython", "-B", "bpython").embed(names)


def _optional(module: str, flag: str, package: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise click.UsageError(f"{flag} needs {module}, which is not installed: pip install {package}") from error


def _banner(names: Mapping[str, Any]) -> str:
    version = sys.version.partition(" ")[0]
    shown = ", ".join(name for name in names if not name.startswith("_"))
    return f"Python {version}, celeriac {__version__}. Here are: {shown}"
