"""How one setting is declared: in the class of its group, beside the type that readers of the code see."""

from __future__ import annotations

from typing import Any, Literal, TypeVar, cast

import msgspec

from celeriac.app.kinds import Kind

Origin = Literal["celery", "celeriac"]

T = TypeVar("T")


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one setting: what it is called, may be and does, and whose name it is.

    Attributes:
        name: as attribute of the settings.
        kind: what it may be.
        default: what it is when nobody says anything.
        doc: what it does, in a sentence.
        group: title of the group that it belongs to.
        old: the upper-case name that Celery had for it before version 4, or None.
        origin: whose name it is.
        effective: whether this version does anything with it.
        why: why it does not, as the rest of a sentence.
        follows: the setting that it is like while it is None.
    """

    name: str
    kind: Kind
    default: Any
    doc: str
    group: str
    old: str | None = None
    origin: Origin = "celery"
    effective: bool = True
    why: str = ""
    follows: str | None = None


class Group:
    """Be a group of settings: a class whose attributes are declared with `works`, `later` or `ours`.

    Attributes:
        TITLE: what the group is called in the documentation.
        WHY: why those of its settings have no effect that have none, unless they say so themselves.
    """

    TITLE: str = ""
    WHY: str = ""


class Declared:
    """Stand for a setting in the class of its group."""

    def __init__(self, **described: Any) -> None:
        self._described = described
        self.setting: Setting

    def __set_name__(self, owner: type[Group], name: str) -> None:
        described = self._described
        if not described.get("effective", True):
            described = {**described, "why": described.get("why") or owner.WHY}
        self.setting = Setting(name=name, group=owner.TITLE, **described)


def works(kind: Kind[T], default: T, doc: str, *, old: str | None, follows: str | None = None) -> T:
    """Declare a setting of Celery that this version obeys."""
    return cast("T", Declared(kind=kind, default=default, doc=doc, old=old, follows=follows))


def later(kind: Kind[T], default: T, doc: str, *, old: str | None, why: str = "", follows: str | None = None) -> T:
    """Declare a setting of Celery that is checked, and has no effect in this version.

    Args:
        why: the reason, as the rest of a sentence; nothing is that of its group.
    """
    return cast("T", Declared(kind=kind, default=default, doc=doc, old=old, why=why, follows=follows, effective=False))


def ours(kind: Kind[T], default: T, doc: str, *, effective: bool = True) -> T:
    """Declare a setting that Celery does not have."""
    return cast("T", Declared(kind=kind, default=default, doc=doc, origin="celeriac", effective=effective))
