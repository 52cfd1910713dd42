"""What Celery has in `celery.utils.deprecated`: warnings about what is to go away."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable as AnyCallable
from typing import Any, ParamSpec, TypeVar

from celeriac.compat.imports import qualname
from celeriac.exceptions import CDeprecationWarning, CPendingDeprecationWarning

P = ParamSpec("P")
R = TypeVar("R")


def warn(
    description: str | None = None,
    deprecation: str | None = None,
    removal: str | None = None,
    alternative: str | None = None,
    stacklevel: int = 2,
) -> None:
    """Warn that something is to go away.

    Args:
        description: what it is.
        deprecation: the version that deprecates it; then the warning is a `CPendingDeprecationWarning`.
        removal: the version that will not have it.
        alternative: what to do instead, as a sentence.
    """
    kind = CDeprecationWarning if deprecation is None else CPendingDeprecationWarning
    when = "is deprecated" if deprecation is None else f"will be deprecated in version {deprecation}"
    gone = f" and removed in version {removal}" if removal else ""
    text = f"{description} {when}{gone}. {alternative or ''}".rstrip()
    warnings.warn(text, kind, stacklevel=stacklevel)


def Callable(
    deprecation: str | None = None,
    removal: str | None = None,
    alternative: str | None = None,
    description: str | None = None,
) -> AnyCallable[[AnyCallable[P, R]], AnyCallable[P, R]]:
    """Return a decorator that has a function warn, with what `warn` takes, when it is called."""

    def decorate(function: AnyCallable[P, R]) -> AnyCallable[P, R]:
        @functools.wraps(function)
        def warning(*args: P.args, **kwargs: P.kwargs) -> R:
            warn(description or qualname(function), deprecation, removal, alternative, stacklevel=3)
            return function(*args, **kwargs)

        return warning

    return decorate


def Property(
    deprecation: str | None = None,
    removal: str | None = None,
    alternative: str | None = None,
    description: str | None = None,
) -> AnyCallable[[AnyCallable[[Any], Any]], property]:
    """Return a decorator that makes a property, which warns when it is read or set; see `warn`."""

    def decorate(getter: AnyCallable[[Any], Any]) -> property:
        return property(Callable(deprecation, removal, alternative, description or getter.__name__)(getter))

    return decorate
