# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.text import abbr as abbr
from celeriac.compat.text import abbrtask as abbrtask
from celeriac.compat.text import indent as indent
from celeriac.compat.text import join as join
from celeriac.compat.text import pluralize as pluralize
from celeriac.compat.text import simple_format as simple_format
from celeriac.compat.text import str_to_list as str_to_list
from celeriac.compat.text import truncate as truncate

__all__ = [
    "abbr",
    "abbrtask",
    "indent",
    "join",
    "pluralize",
    "simple_format",
    "str_to_list",
    "truncate",
]
