# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.collections import AttributeDict as AttributeDict
from celeriac.compat.collections import AttributeDictMixin as AttributeDictMixin
from celeriac.compat.collections import LimitedSet as LimitedSet
from celeriac.compat.collections import lpmerge as lpmerge
from collections import OrderedDict as OrderedDict

__all__ = [
    "AttributeDict",
    "AttributeDictMixin",
    "LimitedSet",
    "OrderedDict",
    "lpmerge",
]
