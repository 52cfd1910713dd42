"""What one source says: values of settings, checked, each with where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from celeriac.app import kinds
from celeriac.app.config.names import Names
from celeriac.app.config.table import NEW_NAMES


class Said(msgspec.Struct, frozen=True):
    """Hold what a source says of one setting.

    Attributes:
        value: as the setting's kind keeps it.
        origin: the source, in words, such as ``module celeryconfig``.
        key: what the source calls the setting.
    """

    value: Any
    origin: str
    key: str


def check(values: Mapping[str, Any], names: Names, source: str) -> dict[str, Said]:
    """Return what a source says, or raise when any of it is wrong.

    A setting that has both its new and its old name there is what the new one says.

    Raises:
        UnknownSetting: there is none of that name; the text has the nearest.
        ImproperlyConfigured: a value is not of the setting's kind, or new and old names are mixed.
    """
    names.refuse_mixed(values, source)
    said: dict[str, Said] = {}
    for key in sorted(values, key=NEW_NAMES.__contains__, reverse=True):
        name = names.find(key)
        if name is None:
            raise names.unknown(key, values[key], source)
        label = name if key == name else f"{key} ({name})"
        said[name] = Said(kinds.read(names.table[name].kind, label, values[key], source=source), source, key)
    return said
