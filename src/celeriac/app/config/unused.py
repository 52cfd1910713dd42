"""Warn of settings that were changed and have no effect in this version, of each once."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Final

import msgspec

from celeriac.app.config.sources import Sources
from celeriac.app.config.table import SETTINGS
from celeriac.exceptions import SettingWithoutEffect

_PACKAGE: Final = str(Path(__file__).parents[2])


def warn_without_effect(sources: Sources) -> Sources:
    """Warn of what is set and does nothing; return sources that know of the warning."""
    new = {
        name: said
        for name, said in sources.said().items()
        if name not in sources.warned and name in SETTINGS and not SETTINGS[name].effective
        and said.value != SETTINGS[name].default
    }  # fmt: skip
    for name, said in new.items():
        warnings.warn(
            f"{name} (from {said.origin}) has no effect in this version of celeriac: {SETTINGS[name].why}",
            SettingWithoutEffect,
            stacklevel=level_of_users(),
        )
    return msgspec.structs.replace(sources, warned=sources.warned | new.keys())


def level_of_users() -> int:
    """Return the `stacklevel` of the code of users that led here."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        level, frame = level + 1, frame.f_back
    return level
