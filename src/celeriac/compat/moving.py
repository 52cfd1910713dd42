"""Move a module from Celery to celeriac: its imports, names of modules in its text, and its settings. Pure.

Nothing is guessed: an import of a name that celeriac does not have stays as it is, and is told with the reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Final, NamedTuple

from celeriac.compat.editing import Change, Source
from celeriac.compat.moving_settings import move_settings, note_settings
from celeriac.compat.paths import PATHS, Home, Missing
from celeriac.compat.peers import PEERS

_CELERY: Final = "celery"
_OURS: Final = "celeriac"
_BESIDE: Final = ("kombu", "billiard")
_DOTTED: Final = re.compile(r"celery(\.\w+)+")
_OF_TOP: Final = {"celeriac.brokers.topology": _OURS}
"""Modules whose names programs import from the package."""


class ToDo(NamedTuple):
    """Say what somebody has to look at on a line, counted from 1."""

    line: int
    what: str


class Moved(NamedTuple):
    """A module that was moved.

    Attributes:
        text: as it is now.
        changes: in the order of lines.
        by_hand: what could not be changed, and why.
    """

    text: str
    changes: list[Change]
    by_hand: list[ToDo]


def moved(text: str, *, is_settings: bool = False) -> Moved:
    """Return what a module becomes.

    Args:
        text: its source.
        is_settings: it is a module of settings; names of before Celery 4 become those of today.

    Raises:
        SyntaxError: it is no Python that this Python reads.
    """
    source = Source(text)
    by_hand: list[ToDo] = []
    for node in ast.walk(source.tree):
        match node:
            case ast.Import():
                by_hand += _move_import(source, node)
            case ast.ImportFrom(level=0, module=str(module)):
                by_hand += _move_import_from(source, node, module)
            case ast.Constant(value=str(value)) if _DOTTED.fullmatch(value):
                _move_name(source, node, value)
            case ast.Call():
                by_hand += _note_logger(node)
    by_hand += [ToDo(*each) for each in (move_settings(source) if is_settings else note_settings(source))]
    return Moved(source.written(), source.changes(), sorted(by_hand))


def why_not(path: str, name: str | None = None) -> str | None:
    """Say why a module of celeriac's, or a name of one, is not there; None when it is."""
    try:
        module = import_module(path)
    except ImportError as error:
        return str(error)
    if name is None or name == "*" or hasattr(module, name):
        return None
    try:
        import_module(f"{path}.{name}")
    except ImportError as error:
        return str(error)
    return None


def _move_import(source: Source, node: ast.Import) -> Iterator[ToDo]:
    """Move `import celery…`. What stays in the program are uses of the name `celery`, which means celeriac then."""
    tokens = iter(source.tokens_of(node))
    next(tokens)  # import
    for alias in node.names:
        first = last = next(tokens)
        for _ in range(2 * alias.name.count(".")):
            last = next(tokens)
        if alias.asname is not None:
            next(tokens), next(tokens)
        next(tokens, None)  # the comma
        top, _, rest = alias.name.partition(".")
        if top in _BESIDE:
            yield ToDo(node.lineno, _of_package(alias.name))
        if top != _CELERY:
            continue
        ours = f"{_OURS}.{rest}" if rest else _OURS
        why = why_not(ours)
        if why is not None:
            yield ToDo(node.lineno, why)
        elif alias.asname is not None:
            source.replace(first, last, ours)
        elif rest:
            source.replace(first, last, f"{_OURS} as {_CELERY}, {ours}")
        else:
            source.replace(first, last, f"{_OURS} as {_CELERY}")


def _move_import_from(source: Source, node: ast.ImportFrom, module: str) -> Iterator[ToDo]:
    top, _, rest = module.partition(".")
    if top == _CELERY:
        ours = f"{_OURS}.{rest}" if rest else _OURS
        reasons = [why for alias in node.names if (why := why_not(ours, alias.name)) is not None]
        for why in reasons:
            yield ToDo(node.lineno, why)
        if not reasons:
            first = source.tokens_of(node)[1]
            source.replace(first, first, _OURS)
    elif top in _BESIDE:
        homes = {_home_of(module, alias.name) for alias in node.names}
        home = homes.pop()
        if homes or home is None:
            yield ToDo(node.lineno, _of_package(module))
        else:
            tokens = source.tokens_of(node)
            source.replace(tokens[1], tokens[1 + 2 * module.count(".")], home)


def _home_of(module: str, name: str) -> str | None:
    """Return from where a name of kombu or billiard is imported, if it has the same name there."""
    names = PEERS.get(module)
    match None if names is None or isinstance(names, Missing) else names.get(name):
        case Home(home, attribute) if attribute == name:
            return _OF_TOP.get(home, home)
    return None


def _of_package(module: str) -> str:
    package = module.partition(".")[0]
    return (
        f"{module} is not of Celery: it works as long as {package} is installed, which celeriac does not need. What "
        "celeriac has in its place is told in the documentation, under Import paths"
    )


def _move_name(source: Source, node: ast.Constant, value: str) -> None:
    """Move text that names a module of Celery's, or something in one: a plugin of pytest, what a test patches."""
    parts = value.split(".")
    for length in range(len(parts), 1, -1):
        row = PATHS.get(".".join([_OURS, *parts[1:length]]))
        if row is not None:
            break
    else:
        return
    tokens = source.tokens_of(node)
    if isinstance(row, Missing) or len(tokens) != 1 or value not in tokens[0].string:
        return
    source.replace(tokens[0], tokens[0], tokens[0].string.replace(value, value.replace(_CELERY, _OURS, 1)))


def _note_logger(node: ast.Call) -> Iterator[ToDo]:
    match node:
        case ast.Call(
            func=ast.Attribute(attr="getLogger") | ast.Name(id="getLogger"), args=[ast.Constant(value=str(name))]
        ) if name.partition(".")[0] == _CELERY:
            yield ToDo(node.lineno, f"the logger {name!r} is called {name.replace(_CELERY, _OURS, 1)!r} in celeriac")
