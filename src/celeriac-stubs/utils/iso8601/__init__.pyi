# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.times import parse_iso8601 as parse_iso8601

__all__ = [
    "parse_iso8601",
]
