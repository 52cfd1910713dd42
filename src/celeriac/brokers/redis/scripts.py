"""Lua scripts: their text and how Redis knows them.

Each file in `lua/` states its keys, its arguments and its answer. A line ``-- include <name>`` stands for the file of
that name: functions that several scripts share. Redis never rolls a script back, so every script is safe at each of its
lines: an error in the middle may repeat something, and loses nothing.
"""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Final, Protocol

import msgspec

_INCLUDE: Final = re.compile(r"^-- include (\w+)$", re.MULTILINE)


class Scripted(Protocol):
    """Be a Lua script.

    Attributes:
        text: its source.
        sha: SHA1 of that, in hexadecimal digits.
    """

    @property
    def text(self) -> str: ...

    @property
    def sha(self) -> str: ...


class Script(msgspec.Struct, frozen=True):
    """Hold a script with everything that it includes.

    Attributes:
        sha: how `EVALSHA` names it.
    """

    name: str
    text: str
    sha: str


@cache
def script(name: str) -> Script:
    """Return the script of that name."""
    text = _INCLUDE.sub(lambda include: _read(include[1]), _read(name))
    return Script(name, text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _read(name: str) -> str:
    return (files(__package__) / "lua" / f"{name}.lua").read_text(encoding="utf-8").rstrip()
