"""What settings are called: new names, Celery's old ones and those with a prefix; and what is said of all others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from celeriac.app.config.setting import Setting
from celeriac.app.config.table import NEW_NAMES, SETTINGS
from celeriac.app.kinds import ANYTHING, type_of
from celeriac.exceptions import ImproperlyConfigured, UnknownSetting

_OLD_PREFIXES: Final = ("CELERY_", "CELERYD_", "CELERYBEAT_", "BROKER_")

NAMESPACES: Final = (
    "beat",
    "broker",
    "cache",
    "cassandra",
    "s3",
    "azureblockblob",
    "gcs",
    "control",
    "couchbase",
    "arangodb",
    "mongodb",
    "cosmosdbsql",
    "event",
    "redis",
    "result",
    "elasticsearch",
    "security",
    "database",
    "task",
    "worker",
)
"""What the names of settings begin with, in the order in which Celery looks through them."""

_NEW_PREFIXES: Final = tuple(f"{word}_" for word in (*NAMESPACES, "accept", "dead_letter", "message_max"))


_TYPO: Final = 0.9
"""How much a name is like the one that was meant, at least, with a letter too few, too many or wrong."""


class Names(msgspec.Struct, frozen=True):
    """Know what every setting can be called.

    Attributes:
        table: the settings by name, those that the program has added included.
        namespace: what names in sources begin with besides, such as ``CELERY``; "" where there is no such prefix.
    """

    table: Mapping[str, Setting] = msgspec.field(default_factory=lambda: SETTINGS)
    namespace: str = ""

    def find(self, key: str) -> str | None:
        """Return the name of the setting that `key` means, or None."""
        if key in self.table:
            return key
        bare = self._without_prefix(key)
        if bare is not None and bare in self.table:
            return bare
        return NEW_NAMES.get(key)

    def find_own(self, key: str) -> str | None:
        """Return the name of a package's setting by what stands behind the prefix: ``ONCE`` of ``CELERY_ONCE``."""
        name = key.lower()
        is_own = self.namespace and key.isupper() and name in self.table and name not in SETTINGS
        return name if is_own else None

    def written(self, name: str) -> str:
        """Return a setting's name as sources write it: with the prefix, and in its case."""
        key = f"{self._prefix}{name}"
        return key.upper() if self._prefix.isupper() else key

    def claims(self, key: str) -> bool:
        """Say whether a name in a module, class or object says by how it begins that it is a setting."""
        if self.find(key) is not None or self._without_prefix(key) is not None:
            return True
        if key.islower():
            return key.startswith(_NEW_PREFIXES)
        return key.isupper() and key.startswith(_OLD_PREFIXES)

    def is_own(self, key: str) -> bool:
        """Say whether a name is the program's, or a package's, alone: of no setting, and too unlike all of them."""
        bare = self._without_prefix(key) or key
        likeness = min(_TYPO, 1 - 1.01 / max(len(bare), 2))  # one letter is more of a short name
        return self.find(key) is None and self.nearest(key, likeness=likeness) is None

    def also_known(self, keys: Iterable[str]) -> Names:
        """Return names that have those as well, without their prefix, each a setting that may be anything."""
        bare = {self._without_prefix(key) or key for key in keys if self.find(key) is None}
        added = {key: _added(key) for key in sorted(bare)}
        return msgspec.structs.replace(self, table={**self.table, **added}) if added else self

    def refuse_mixed(self, keys: Iterable[str], source: str) -> None:
        """Raise when one source has both new and old names, unless every setting of the fewer has both.

        With a prefix there is nothing to confuse: it always stands before new names.

        Raises:
            ImproperlyConfigured: the text says which names to change, and into what.
        """
        if self.namespace:
            return
        keys = set(keys)
        old = {key: NEW_NAMES[key] for key in keys if key in NEW_NAMES and key not in self.table}
        new = {key: old_name for key in keys if (old_name := _old_name(key)) is not None}
        renames = new if len(old) > len(new) else old
        left = {key: name for key, name in renames.items() if name not in keys}
        if old and new and left:
            lines = "\n".join(f"    {key} -> {name}" for key, name in sorted(left.items()))
            raise ImproperlyConfigured(f"{source} has both new and old names of settings; rename these:\n{lines}")

    def unknown(self, key: str, value: Any, source: str) -> UnknownSetting:
        """Make the error about a name that no setting has. It says the value's type and never the value."""
        near = self.nearest(key)
        hint = f"; did you mean {near!r}?" if near else "; `add_defaults` makes settings of names of your own"
        if not self.namespace and key.removeprefix("CELERY_").lower() in self.table and key.startswith("CELERY_"):
            hint += " Such a prefix is for config_from_object(..., namespace='CELERY')"
        return UnknownSetting(f"there is no setting {key!r} ({type_of(value)} from {source}){hint}")

    def nearest(self, key: str, *, likeness: float = 0.75) -> str | None:
        """Return the name that somebody may have meant, as they would have to write it, or None.

        Args:
            likeness: how much a name has to be like it, from 0 to 1.
        """
        bare = self._without_prefix(key) or _bare(key)
        if key.isupper() and not self.namespace and bare not in self.table:
            near_old = get_close_matches(key, NEW_NAMES, n=1, cutoff=likeness)
            if near_old:
                return near_old[0]
        near = get_close_matches(bare, self.table, n=1, cutoff=likeness)
        return self.written(near[0]) if near else None

    @property
    def _prefix(self) -> str:
        return f"{self.namespace.rstrip('_')}_" if self.namespace else ""

    def _without_prefix(self, key: str) -> str | None:
        """Return what stands behind the prefix, as new names are written; None without the prefix."""
        prefix = self._prefix
        if not prefix or not key.startswith(prefix):
            return None
        rest = key[len(prefix) :]
        return rest.lower() if prefix.isupper() and rest.isupper() else rest

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)


def _bare(key: str) -> str:
    prefix = next((prefix for prefix in _OLD_PREFIXES[:3] if key.upper().startswith(prefix)), "")
    return key[len(prefix) :].lower()


def _old_name(key: str) -> str | None:
    setting = SETTINGS.get(key)
    return setting.old if setting is not None else None


def _added(name: str) -> Setting:
    doc = "Added by the program, with `add_defaults`."
    return Setting(name=name, kind=ANYTHING, default=None, doc=doc, group="Added by the program")
