# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.functional import LRUCache as LRUCache
from celeriac.compat.functional import chunks as chunks
from celeriac.compat.functional import dictfilter as dictfilter
from celeriac.compat.functional import first as first
from celeriac.compat.functional import fun_accepts_kwargs as fun_accepts_kwargs
from celeriac.compat.functional import is_list as is_list
from celeriac.compat.functional import lazy as lazy
from celeriac.compat.functional import mattrgetter as mattrgetter
from celeriac.compat.functional import maybe as maybe
from celeriac.compat.functional import maybe_evaluate as maybe_evaluate
from celeriac.compat.functional import maybe_list as maybe_list
from celeriac.compat.functional import mlazy as mlazy
from celeriac.compat.functional import noop as noop
from celeriac.compat.functional import padlist as padlist
from celeriac.compat.functional import regen as regen
from celeriac.compat.functional import seq_concat_item as seq_concat_item
from celeriac.compat.functional import seq_concat_seq as seq_concat_seq
from celeriac.compat.functional import uniq as uniq

__all__ = [
    "LRUCache",
    "chunks",
    "dictfilter",
    "first",
    "fun_accepts_kwargs",
    "is_list",
    "lazy",
    "mattrgetter",
    "maybe",
    "maybe_evaluate",
    "maybe_list",
    "mlazy",
    "noop",
    "padlist",
    "regen",
    "seq_concat_item",
    "seq_concat_seq",
    "uniq",
]
