"""What becomes of the settings in a module that is moved from Celery to celeriac. Pure.

Old names are understood as they are, so they are changed only in modules that somebody has named as settings.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Final

from celeriac.app.config.names import Names
from celeriac.app.config.table import NEW_NAMES, SETTINGS
from celeriac.compat.editing import Source

_SQLITE: Final = ("sqla+sqlite:", "db+sqlite:")
_NAMES: Final = Names()

Said = tuple[int, str]


def move_settings(source: Source) -> Iterator[Said]:
    """Give settings their names of today, wherever the module says them, and tell what needs a person."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Name) and node.id in NEW_NAMES and node.id not in SETTINGS:
            (token,) = source.tokens_of(node)
            source.replace(token, token, NEW_NAMES[node.id])
    for target in _assigned(source.tree):
        if target.id not in NEW_NAMES and _NAMES.claims(target.id):
            yield from _objections(target.lineno, target.id)
    yield from _urls(source)


def note_settings(source: Source) -> Iterator[Said]:
    """Tell what needs a person about the settings that a program gives to `app.conf`."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Attribute(attr="update", value=ast.Attribute(attr="conf")), keywords=keywords):
                for keyword in keywords:
                    if keyword.arg is not None:
                        yield from _objections(keyword.lineno, keyword.arg)
            case ast.Assign(targets=[ast.Attribute(attr=name, value=ast.Attribute(attr="conf"))], lineno=line):
                yield from _objections(line, name)
    yield from _urls(source)


def _objections(line: int, key: str) -> Iterator[Said]:
    name = _NAMES.find(key)
    if name is None:
        near = _NAMES.nearest(key)
        hint = f"; did you mean {near!r}?" if near else "; `app.conf.add_defaults` makes settings of names of your own"
        yield line, f"there is no setting {key!r}{hint}"
    elif not SETTINGS[name].effective:
        yield line, f"the setting {name!r} has no effect in this version of celeriac: {SETTINGS[name].why}"


def _assigned(tree: ast.Module) -> Iterator[ast.Name]:
    """Find the names that the module, or a class in it, assigns to."""
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef))]
    for statement in (statement for body in bodies for statement in body):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        yield from (target for target in targets if isinstance(target, ast.Name))


def _urls(source: Source) -> Iterator[Said]:
    for node in ast.walk(source.tree):
        match node:
            case ast.Constant(value=str(value)) if value.startswith(_SQLITE):
                scheme = value.partition(":")[0]
                yield (
                    node.lineno,
                    f"{scheme}: is spelled sqlite: in celeriac, and its file is not Celery's: let Celery's workers "
                    "empty their queues, and name a new file",
                )
