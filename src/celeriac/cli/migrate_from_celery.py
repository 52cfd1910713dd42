"""`celeriac migrate-from-celery`: move the source of a program."""

from __future__ import annotations

import io
import os
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import click

from celeriac.cli.output import plural
from celeriac.cli.pages import Command
from celeriac.cli.session import Session, pass_session
from celeriac.compat.moving import Moved, ToDo, moved

_LEFT_OUT: Final = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})
_NEEDS: Final = re.compile(r"""(?:^|["'])\s*celery\s*(?:\[[\w,\s-]+\])?\s*(?:[=<>~!;"'].*)?$""")
_COMMAND: Final = re.compile(r"\bcelery\b[^\n#]*\b(worker|beat|flower|multi|events|inspect|control|purge)\b")
_COMMAND_FILES: Final = (".sh", ".conf", ".ini", ".cfg", ".service", ".yml", ".yaml")
_COMMAND_NAMES: Final = frozenset({"Procfile", "Dockerfile", "Makefile", "justfile"})
_NEEDS_NAMES: Final = re.compile(r"requirements[\w.-]*\.(txt|in)|pyproject\.toml|setup\.cfg|setup\.py|Pipfile")
_LARGEST: Final = 2_000_000


class _File(NamedTuple):
    """Say what becomes of one file."""

    path: Path
    moved: Moved
    encoding: str


@click.command("migrate-from-celery", cls=Command)
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--write", is_flag=True, help="Write the files. Without it nothing is changed.")
@click.option(
    "--settings",
    "settings",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A module of settings, whose names are to be those of today; may be given again.",
)
@pass_session
def migrate_from_celery(session: Session, /, path: Path, write: bool, settings: tuple[Path, ...]) -> int:
    """Show what changes in a program that is written for Celery, and change it.

    PATH is a folder or a file. Imports of celery, names of its modules in text, and Queue and Exchange of kombu become
    celeriac's. What has no counterpart stays as it is, and is told with the reason. Ends with 1 when something is left
    to be done by hand.
    """
    named = {each.resolve() for each in settings}
    files, by_hand = [], []
    for file in _files(path):
        if file.suffix == ".py":
            found = _read(file, is_settings=file.resolve() in named)
            if isinstance(found, _File):
                files.append(found)
                by_hand += [(file, each) for each in found.moved.by_hand]
            else:
                by_hand.append((file, found))
        by_hand += [(file, each) for each in _commands(file)]
    changed = [each for each in files if each.moved.changes]
    if write:
        for each in changed:
            _write(each)
    _report(session, changed, by_hand, written=write)
    return 1 if by_hand else 0


def _files(path: Path) -> Iterator[Path]:
    """Find what belongs to a program: no environments, no hidden folders, nothing that was built."""
    if path.is_file():
        yield path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(
            name
            for name in folders
            if name not in _LEFT_OUT and not name.startswith(".") and not Path(folder, name, "pyvenv.cfg").exists()
        )
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and file.stat().st_size <= _LARGEST:
                yield file


def _read(path: Path, *, is_settings: bool) -> _File | ToDo:
    data = path.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return _File(path, moved(data.decode(encoding), is_settings=is_settings), encoding)
    except (SyntaxError, UnicodeDecodeError, ValueError, tokenize.TokenError) as error:
        return ToDo(getattr(error, "lineno", None) or 1, f"it is left out, for it cannot be read as Python: {error}")


def _write(file: _File) -> None:
    """Write a file beside its place, then put it there: who is interrupted has the old one or the new one."""
    new = file.path.with_name(f".{file.path.name}.celeriac")
    new.write_bytes(file.moved.text.encode(file.encoding))
    new.chmod(file.path.stat().st_mode)
    new.replace(file.path)


def _commands(path: Path) -> Iterator[ToDo]:
    """Tell where a file starts Celery, or asks for its package."""
    needs = _NEEDS_NAMES.fullmatch(path.name) is not None
    if not needs and path.suffix not in _COMMAND_FILES and path.name not in _COMMAND_NAMES:
        return
    for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1):
        if needs and _NEEDS.search(line):
            yield ToDo(number, f"it asks for Celery ({line.strip()}); ask for celeriac, with the extra of your broker")
        elif not needs and _COMMAND.search(line):
            yield ToDo(number, f"it runs celery ({line.strip()}); `celeriac` takes the same options")


def _report(session: Session, changed: list[_File], by_hand: list[tuple[Path, ToDo]], *, written: bool) -> None:
    count = sum(len(file.moved.changes) for file in changed)
    if session.json:
        session.output.document(
            {
                "written": written,
                "changes": [
                    {"file": str(file.path), **change._asdict()} for file in changed for change in file.moved.changes
                ],
                "by_hand": [{"file": str(path), **each._asdict()} for path, each in by_hand],
            }
        )
        return
    for file in changed:
        for change in file.moved.changes:
            session.output.line(f"{file.path}:{change.line}: {change.before}")
            session.output.line(f"{' ' * len(str(file.path))}   -> {change.after}")
    for path, each in by_hand:
        session.output.line(f"{path}:{each.line}: by hand: {each.what}")
    lines = f"{count:,} {plural('line', count)} in {len(changed):,} {plural('file', len(changed))}"
    session.output.say(f"{'Changed' if written else 'Would change'} {lines}; {len(by_hand):,} left to be done by hand.")
    if changed and not written:
        session.output.say("Nothing was written: look at it, then give --write.")
