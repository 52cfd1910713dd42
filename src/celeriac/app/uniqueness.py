"""Which calls of a task are the same, so that only one of them waits or runs: `unique_for` and its neighbours.

Pure: from a task's options and a call's arguments to the key that goes into the message.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature, signature
from typing import Any, Final

import msgspec

from celeriac.exceptions import UniqueConflict
from celeriac.message import OnConflict, Unique

KeyOf = Callable[..., object] | str

_TEXT_MAX: Final = 255
_OPTIONS: Final = ("unique_for", "unique_key", "on_conflict")


class Uniqueness(msgspec.Struct, frozen=True, kw_only=True):
    """Say when two calls of one task are the same, for how long, and what becomes of the second.

    Attributes:
        lasts: seconds; 0: no two calls are the same.
        key: makes a call's key of its arguments, or is a template of one; None: all arguments are the key.
        on_conflict: what becomes of the second call.
        signature: of the task's body, for arguments that may be given by place or by name; None when it is not known.
    """

    lasts: float = 0.0
    key: KeyOf | None = None
    on_conflict: OnConflict = OnConflict.SKIP
    signature: Signature | None = None

    def but(self, said: Mapping[str, Any]) -> Uniqueness:
        """Return this, as far as the options of a call do not say otherwise."""
        return Uniqueness(
            lasts=said.get("unique_for", self.lasts),
            key=said.get("unique_key", self.key),
            on_conflict=OnConflict(said.get("on_conflict", self.on_conflict)),
            signature=self.signature,
        )

    def of_call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Unique | None:
        """Return what the message of one call says; None when calls are not unique.

        Raises:
            TypeError: the arguments cannot be made a key of, or `unique_key` returns nothing that could be one.
            ValueError: a template names an argument that the call does not have.
        """
        if not self.lasts:
            return None
        text = self._text_of(name, args, kwargs)
        return Unique(key=f"{name}:{text}", lasts=self.lasts, on_conflict=self.on_conflict)

    def _text_of(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        if self.key is None:
            return _digest(_canonical(name, self._named(args, kwargs)))
        made = self._filled if isinstance(self.key, str) else self._made
        text = made(name, args, kwargs)
        return text if len(text) <= _TEXT_MAX and text.isprintable() else _digest(_canonical(name, text))

    def _made(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        assert callable(self.key), "what is no template is a function"
        made = self.key(*args, **kwargs)
        if type(made) is not int and not (isinstance(made, str) and made):
            raise TypeError(
                f"unique_key of task {name!r} must return a text that is not empty, or a whole number, got {made!r:.80}"
            )
        return str(made)

    def _filled(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        assert isinstance(self.key, str), "what is no function is a template"
        named = self._named(args, kwargs)
        try:
            return self.key.format(*args, **(named if isinstance(named, dict) else kwargs))
        except (LookupError, AttributeError, ValueError) as error:
            raise ValueError(
                f"unique_key {self.key!r} of task {name!r} does not fit this call: {type(error).__name__}: {error}"
            ) from error

    def _named(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any] | tuple[Any, Any]:
        """Return the arguments by name, defaults among them; as they are given where no signature tells."""
        if self.signature is None:
            return list(args), dict(kwargs)
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError:  # the run is the one to fail, where calls are not checked
            return list(args), dict(kwargs)
        bound.apply_defaults()
        named = dict(bound.arguments)
        for parameter in self.signature.parameters.values():
            if parameter.kind is Parameter.VAR_KEYWORD:
                named |= named.pop(parameter.name)
        return named


def uniqueness_of(task: Any) -> Uniqueness | None:
    """Return what a task's attributes say; None when its calls are never unique, unless one of them says so."""
    lasts, key, on_conflict = (getattr(task, name, None) for name in _OPTIONS)
    if not lasts and key is None and on_conflict is None:
        return None
    return Uniqueness(
        lasts=lasts or 0.0,
        key=key,
        on_conflict=OnConflict(on_conflict or OnConflict.SKIP),
        signature=_signature_of(task),
    )


def uniqueness_of_call(task: Any, own: Uniqueness | None, said: Mapping[str, Any]) -> Uniqueness | None:
    """Return what counts for one call.

    Args:
        task: None when it is not registered here.
        own: what the task says.
        said: the options of the call.
    """
    said = {name: said[name] for name in _OPTIONS if name in said}
    if not said:
        return own
    return (own or Uniqueness(signature=None if task is None else _signature_of(task))).but(said)


def conflict_of(key: str, task_id: str) -> UniqueConflict:
    """Make the error of a call that is not published."""
    return UniqueConflict(
        f"nothing is published, because run {task_id} waits or runs under the same unique key {key!r}; wait for its "
        "result, or say on_conflict='skip' or 'replace'",
        key=key,
        task_id=task_id,
    )


def _signature_of(task: Any) -> Signature | None:
    try:
        return signature(task.run)
    except (TypeError, ValueError):  # a callable that tells nothing
        return None


def _canonical(name: str, value: Any) -> bytes:
    def refuse(argument: Any) -> Any:
        raise TypeError(
            f"a call of unique task {name!r} has a {type(argument).__name__} among its arguments, which no key can be "
            "made of; say unique_key='...' or unique_key=lambda ...: ..."
        )

    return msgspec.json.encode(value, enc_hook=refuse, order="sorted")


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
