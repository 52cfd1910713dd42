"""What tells calls of a task apart: keys made of their arguments. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from inspect import Parameter, Signature, signature
from typing import Any, Final

import msgspec

KeyOf = Callable[..., object] | str

_TEXT_MAX: Final = 255


class CallKey(msgspec.Struct, frozen=True):
    """Make keys of calls of one task.

    Attributes:
        option: what says `key`, for errors.
        key: makes a call's key of its arguments, or is a template of one; None: all arguments are the key.
        signature: of the task's body, for arguments that may be given by place or by name; None when it is not known.
    """

    option: str
    key: KeyOf | None
    signature: Signature | None

    def of_call(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Return the key of one call of the task of that name.

        Raises:
            TypeError: the arguments cannot be made a key of, or the function returns nothing that could be one.
            ValueError: a template names an argument that the call does not have.
        """
        return f"{name}:{self._text_of(name, args, kwargs)}"

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
                f"{self.option} of task {name!r} must return a text, not empty, or a whole number, got {made!r:.80}"
            )
        return str(made)

    def _filled(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        assert isinstance(self.key, str), "what is no function is a template"
        named = self._named(args, kwargs)
        try:
            return self.key.format(*args, **(named if isinstance(named, dict) else kwargs))
        except (LookupError, AttributeError, ValueError) as error:
            raise ValueError(
                f"{self.option} {self.key!r} of task {name!r} does not fit this call: {type(error).__name__}: {error}"
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


def signature_of(task: Any) -> Signature | None:
    """Return the signature of a task's body, as far as it can be had."""
    try:
        return signature(task.run)
    except (TypeError, ValueError):  # a callable that tells nothing
        return None


def _canonical(name: str, value: Any) -> bytes:
    """Write a value so that equal ones come to the same bytes, in every process.

    Raises:
        TypeError: there is something in it that cannot be written.
    """

    def refuse(argument: Any) -> Any:
        raise _Unkeyable(
            f"a call of task {name!r} has a {type(argument).__name__} among its arguments, which no unique key can be "
            "made of; say unique_key='...' or unique_key=lambda ...: ..."
        )

    def write(part: Any) -> bytes:
        return msgspec.json.encode(part, enc_hook=refuse, order="sorted")

    def unusual(part: Any) -> Any:
        """Write what has dicts whose keys are no texts, or texts that UTF-8 cannot write."""
        if isinstance(part, str):
            return part.encode("utf-8", "surrogatepass")
        if isinstance(part, Mapping):
            return sorted(write([unusual(key), unusual(kept)]) for key, kept in part.items())
        if isinstance(part, (list, tuple)):
            return [unusual(each) for each in part]
        if isinstance(part, (set, frozenset)):
            return sorted(write(unusual(each)) for each in part)
        return part

    try:
        return write(value)
    except _Unkeyable:
        raise
    except (TypeError, UnicodeEncodeError):
        return write(unusual(value))


class _Unkeyable(TypeError):
    """Say that an argument can be in no key."""


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
