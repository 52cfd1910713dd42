"""Options of an app's own on the command line of a worker.

A worker forks before it imports its app. So where an option is not known, another process imports the app, and tells
which ones it has: `python -m celeriac.cli.own_options [APP]`. What they say is read by the node.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from celeriac.app.discovery import find_app
from celeriac.app.user_options import options_of_worker
from celeriac.exceptions import CeleriacError

_WITHIN: Final = 60.0


def told_by_app(spec: str | None, workdir: str | None) -> list[Mapping[str, Any]]:
    """Ask another process which options an app has of its own; none where the app cannot be imported."""
    argv = [sys.executable, "-m", "celeriac.cli.own_options", *([] if spec is None else [spec])]
    try:
        done = subprocess.run(argv, cwd=workdir, capture_output=True, text=True, timeout=_WITHIN)
        told: list[Mapping[str, Any]] = json.loads(done.stdout) if done.returncode == 0 else []
    except (OSError, ValueError, subprocess.SubprocessError):
        return []
    return told


def stand_in(told: Mapping[str, Any], words: list[str]) -> click.Option:
    """Make an option that takes what another one takes, and only notes the words."""

    def note(context: click.Context, option: click.Parameter, value: Any) -> None:
        if context.get_parameter_source(option.name or "") is not click.core.ParameterSource.COMMANDLINE:
            return
        if told["is_flag"]:
            on, off = told["opts"][0], (told["off"] or told["opts"])[0]
            words.append(on if value else off)
            return
        for one in value if told["multiple"] else [value]:
            words.extend([told["opts"][0], *map(str, one if told["nargs"] != 1 else [one])])

    flags = "/".join(filter(None, (told["opts"][-1], *told["off"][-1:]))) if told["is_flag"] else told["opts"][-1]
    shorter = list(told["opts"][:-1])
    shape = {"is_flag": True} if told["is_flag"] else {"nargs": told["nargs"], "multiple": told["multiple"]}
    return click.Option([*shorter, flags], callback=note, expose_value=False, help=told["help"], **shape)


def described(option: click.Parameter) -> Mapping[str, Any]:
    """Describe an option for `stand_in`."""
    return {
        "opts": option.opts,
        "off": option.secondary_opts,
        "is_flag": bool(getattr(option, "is_flag", False) or getattr(option, "count", False)),
        "multiple": option.multiple,
        "nargs": option.nargs,
        "help": getattr(option, "help", None),
    }


def main(arguments: Sequence[str]) -> int:
    """Write which options an app has of its own."""
    try:
        app = find_app(arguments[0] if arguments else None).app
    except CeleriacError:
        return 1
    sys.stdout.write(json.dumps([described(one) for one in options_of_worker(app)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
