"""`celeriac worker`: read what one node is to be, and run it.

Nothing here may import the user's app, or start a thread: the node forks its forkserver first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Final, Literal

import click

from celeriac.app.pool_names import NAMES, pool_named
from celeriac.cli.later import global_options_of_celery, worker_options_of_celery
from celeriac.cli.pages import Command
from celeriac.cli.session import Session, pass_session
from celeriac.cli.values import completing, names, seconds
from celeriac.worker.options import BODIES_MAX, HEARTBEAT_EVERY, NodeOptions

SETTINGS_OF_FLAGS: Final = {
    "time_limit": "task_time_limit",
    "soft_time_limit": "task_soft_time_limit",
    "max_tasks_per_child": "worker_max_tasks_per_child",
    "max_memory_per_child": "worker_max_memory_per_child",
    "pool_start_method": "worker_pool_start_method",
    "pidfile": "worker_pidfile",
    "umask": "worker_umask",
}
"""Flags that say what a setting says as well."""

_BEAT_LEAST: Final = 0.1

_OWN: Final = "celeriac.own_options"

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "FATAL")


def pool(text: str) -> str:
    """Read `-P`."""
    try:
        return pool_named(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


def concurrency(text: str) -> int | Literal["auto"]:
    """Read `-c`."""
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise click.BadParameter(f"a whole number >= 1 or 'auto' is needed, got {text!r}.")
    return int(text)


def autoscale(text: str) -> tuple[int, int]:
    """Read `--autoscale`: two numbers in any order, or the larger one alone."""
    words = [word.strip() for word in text.split(",")]
    if len(words) > 2 or not all(word.isdecimal() for word in words):
        raise click.BadParameter(f"one or two whole numbers are needed, as in 10,2, got {text!r:.50}.")
    least, most = sorted(map(int, words)) if len(words) > 1 else (0, int(words[0]))
    if not 1 <= most <= BODIES_MAX:
        raise click.BadParameter(f"from 1 to {BODIES_MAX:,} tasks run at once, got {most}.")
    return most, least


class WorkerCommand(Command):
    """A command that knows the options which an app has of its own."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options; where one is not known, those of the app as well."""
        given = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption:
            words = ctx.meta[_OWN] = []
            added = self._of_app(ctx, given, words)
            if not added:
                raise
        mine = self.params
        self.params = [*mine, *added]
        try:
            return super().parse_args(ctx, given)
        finally:
            self.params = mine

    def _of_app(self, ctx: click.Context, args: list[str], words: list[str]) -> list[click.Parameter]:
        """Return the app's own options; which app that is, the other options tell."""
        from celeriac.cli.own_options import stand_in, told_by_app  # only where somebody says such an option

        with click.Context(self, parent=ctx.parent, info_name=ctx.info_name, ignore_unknown_options=True) as lenient:
            super().parse_args(lenient, list(args))
        session = ctx.find_root().ensure_object(Session)
        return [stand_in(told, words) for told in told_by_app(session.app_spec, session.workdir)]


@click.command("worker", cls=WorkerCommand, takes_json=False)
@click.argument("assignments", metavar="[NAME=VALUE]...", nargs=-1)
@click.option("-n", "--hostname", metavar="NAME", help="Name of the node; %h is the host, %n and %d its two parts.")
@click.option("-c", "--concurrency", "slots", type=concurrency, metavar="N|auto", help="Tasks at once.")
@click.option(
    "-P",
    "--pool",
    type=pool,
    metavar="KIND",
    help="What runs tasks: prefork (default), threads, asyncio or solo.",
    shell_complete=completing(*NAMES),
)
@click.option(
    "--autoscale", type=autoscale, metavar="MAX[,MIN]", help="Run more tasks at once while some wait, fewer when idle."
)
@click.option("--processes", type=click.IntRange(min=1), metavar="N", help="Processes that share the tasks at once.")
@click.option("-Q", "--queues", type=names, metavar="A,B", help="Queues to work on, instead of the default one.")
@click.option("-X", "--exclude-queues", type=names, metavar="A,B", help="Queues to leave out.")
@click.option("-I", "--include", type=names, metavar="A,B", help="Modules with tasks, imported besides the app.")
@click.option("-O", "--optimization", "dispatch", metavar="STRATEGY", help="How free slots get tasks.")
@click.option("--prefetch-multiplier", type=click.IntRange(min=0), metavar="N", help="Messages held per slot.")
@click.option("--disable-prefetch", is_flag=True, help="Take no message before a slot is free.")
@click.option("--time-limit", type=seconds, metavar="SECONDS", help="Kill tasks that take longer.")
@click.option("--soft-time-limit", type=seconds, metavar="SECONDS", help="Interrupt tasks that take longer.")
@click.option(
    "--max-tasks-per-child",
    "--maxtasksperchild",  # as it was spelled before Celery 4
    type=click.IntRange(min=1),
    metavar="N",
    help="Replace a process after so many tasks.",
)
@click.option("--max-memory-per-child", type=click.IntRange(min=1), metavar="KIB", help="Replace a process above that.")
@click.option("--pool-start-method", type=click.Choice(("fork", "spawn")), help="How processes come to be.")
@click.option("--stop-grace", type=seconds, metavar="SECONDS", help="Time that running tasks have when it stops.")
@click.option("--burst", is_flag=True, help="Stop when the queues are empty.")
@click.option("--reload", "--autoreload", is_flag=True, help="Start again when a source changes (for development).")
@click.option("--purge", "--discard", is_flag=True, help="Delete what waits in the queues first.")
@click.option("--strict", is_flag=True, help="Do not start with a store that may lose something.")
@click.option("-l", "--loglevel", type=click.Choice(LEVELS, case_sensitive=False), default="WARNING", show_default=True)
@click.option("-f", "--logfile", metavar="FILE", help="Where to log instead of stderr; %n is the node, %i the process.")
@click.option("--pidfile", metavar="FILE", help="Where to write the process id while it runs; %n is the node.")
@click.option("-E", "--task-events", "--events", "task_events", is_flag=True, help="Send events of tasks.")
@click.option("--heartbeat-interval", type=seconds, metavar="SECONDS", help="Time between two heartbeat events.")
@click.option("--without-heartbeat", is_flag=True, help="Send no heartbeat events.")
@click.option("--without-gossip", is_flag=True, help="Take part in no elections; hear of no other nodes.")
@click.option("-D", "--detach", is_flag=True, help="Work in the background.")
@click.option("--uid", metavar="USER", help="Work as this user.")
@click.option("--gid", metavar="GROUP", help="Work as this group.")
@click.option("--umask", metavar="OCTAL", help="What others may not do with files that it makes.")
@worker_options_of_celery
@global_options_of_celery
@pass_session
def worker(session: Session, /, **given: Any) -> int:
    """Start a worker node.

    It works until it is stopped: a first SIGTERM or Ctrl-C lets running tasks finish, a second one does not wait.
    NAME=VALUE changes a setting of the app, for this node.

    \b
      celeriac -A shop worker -l info
      celeriac -A shop worker -Q mail,reports -c 8 -n mail@%h
    """
    if session.json:
        raise click.UsageError("--json: a worker writes no data, only its log (`worker_log_format`).")
    started_in = Path.cwd()
    session.enter_workdir()
    options = node_options(session, given)
    # Imported here: `celeriac worker --help` needs nothing of it.
    from celeriac.cli.detaching import Background, go_to_background, is_in_background
    from celeriac.cli.running import run_again_and_again
    from celeriac.worker.privileges import become

    become(given["uid"], given["gid"])
    place: AbstractContextManager[object] = nullcontext()
    if given["detach"] and not is_in_background():
        gone = go_to_background(_own_log(options))
        if not isinstance(gone, Background):
            return gone
        place = gone
    with place:
        return run_again_and_again(options, started_in)


def _own_log(options: NodeOptions) -> str | None:
    """Return the log file of the first process, or None."""
    from celeriac.worker.names import file_name, node_name

    return options.logfile and file_name(options.logfile, node_name(options.node_name), process=0)


def node_options(session: Session, given: Mapping[str, Any]) -> NodeOptions:
    """Put together what the global options and the worker's own say."""
    _refuse_no_queue(given["queues"], given["exclude_queues"] or ())
    overrides = {**session.overrides, **_settings_of_flags(given), **assigned(given["assignments"])}
    return NodeOptions(
        app=session.app_spec,
        workdir=session.workdir,
        node_name=given["hostname"],
        queues=given["queues"] or (),
        exclude_queues=given["exclude_queues"] or (),
        concurrency=None if given["slots"] == "auto" else given["slots"],
        autoscale=given["autoscale"],
        pool=given["pool"],
        processes=given["processes"],
        loglevel="CRITICAL" if given["loglevel"] == "FATAL" else given["loglevel"],
        logfile=given["logfile"],
        dispatch=given["dispatch"],
        prefetch_multiplier=given["prefetch_multiplier"],
        stop_grace=given["stop_grace"],
        settings=overrides,
        include=given["include"] or (),
        quiet=session.quiet,
        color=session.color,
        purge=given["purge"],
        burst=given["burst"],
        reload=given["reload"],
        heartbeat=heartbeat(given["heartbeat_interval"], without=given["without_heartbeat"]),
        gossip=not given["without_gossip"],
        own=tuple(click.get_current_context().meta.get(_OWN, ())),
        strict=given["strict"],
    )


def heartbeat(interval: float | None, *, without: bool) -> float:
    """Return the seconds between two heartbeats; 0 for none."""
    if without:
        return 0.0
    if interval is None:
        return HEARTBEAT_EVERY
    if interval < _BEAT_LEAST:
        raise click.UsageError(
            f"--heartbeat-interval: at least {_BEAT_LEAST:g} s are needed, got {interval:g}; "
            "--without-heartbeat sends none."
        )
    return interval


def _settings_of_flags(given: Mapping[str, Any]) -> Mapping[str, object]:
    """Return the settings that flags stand for: what they say wins over the app's, as assignments do."""
    said = {name: given[flag] for flag, name in SETTINGS_OF_FLAGS.items() if given[flag] is not None}
    if given["disable_prefetch"]:
        said["worker_disable_prefetch"] = True
    if given["task_events"]:
        said["worker_send_task_events"] = True
    if given["slots"] == "auto":
        said["worker_concurrency"] = None
    return said


def _refuse_no_queue(queues: Sequence[str] | None, excluded: Sequence[str]) -> None:
    if queues is not None and not queues:
        raise click.UsageError("-Q names no queue; leave it out to work on the default one.")
    if queues and set(queues) <= set(excluded):
        raise click.UsageError(f"-X leaves out every queue that -Q names: {', '.join(queues)}.")


def assigned(assignments: Sequence[str]) -> Mapping[str, object]:
    """Read settings given as ``name=value``."""
    if not assignments:
        return {}
    # Only where they are given: 20 ms
    from celeriac.app.config.names import Names
    from celeriac.app.config.texts import read_assignments

    odd = next((assignment for assignment in assignments if "=" not in assignment), None)
    if odd is not None:
        raise click.UsageError(f"unexpected argument {odd!r}; settings are given as name=value.")
    return read_assignments(assignments, Names(), "command line", namespace="worker")
