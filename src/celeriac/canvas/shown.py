"""How canvases show: the module of the first task once, and not again for each."""

from __future__ import annotations


def without_repeats(name: str, text: str) -> str:
    """Leave the module of task `name` out of a text, except where it stands first."""
    module, dot, _ = name.rpartition(".")
    if not dot:
        return text
    prefix = f"{module}."
    first, found, rest = text.partition(prefix)
    return f"{first}{found}{rest.replace(prefix, '')}" if found else text
