# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.brokers.topology import worker_direct as worker_direct
from celeriac.compat.functional import chunks as chunks
from celeriac.compat.functional import maybe_list as maybe_list
from celeriac.compat.functional import noop as noop
from celeriac.compat.imports import gen_task_name as gen_task_name
from celeriac.compat.imports import import_from_cwd as import_from_cwd
from celeriac.compat.imports import instantiate as instantiate
from celeriac.compat.imports import qualname as get_full_cls_name
from celeriac.compat.imports import symbol_by_name as get_cls_by_name
from celeriac.compat.imports import symbol_by_name as symbol_by_name
from celeriac.compat.logs import LOG_LEVELS as LOG_LEVELS
from celeriac.compat.nodenames import nodename as nodename
from celeriac.compat.nodenames import nodesplit as nodesplit
from celeriac.ids import new_id as gen_unique_id
from celeriac.ids import new_id as uuid
from functools import cached_property as cached_property

__all__ = [
    "LOG_LEVELS",
    "cached_property",
    "chunks",
    "gen_task_name",
    "gen_unique_id",
    "get_cls_by_name",
    "get_full_cls_name",
    "import_from_cwd",
    "instantiate",
    "maybe_list",
    "nodename",
    "nodesplit",
    "noop",
    "symbol_by_name",
    "uuid",
    "worker_direct",
]
