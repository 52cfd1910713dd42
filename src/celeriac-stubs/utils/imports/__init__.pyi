# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.compat.imports import NotAPackage as NotAPackage
from celeriac.compat.imports import cwd_in_path as cwd_in_path
from celeriac.compat.imports import find_module as find_module
from celeriac.compat.imports import gen_task_name as gen_task_name
from celeriac.compat.imports import import_from_cwd as import_from_cwd
from celeriac.compat.imports import instantiate as instantiate
from celeriac.compat.imports import module_file as module_file
from celeriac.compat.imports import qualname as qualname
from celeriac.compat.imports import symbol_by_name as symbol_by_name

__all__ = [
    "NotAPackage",
    "cwd_in_path",
    "find_module",
    "gen_task_name",
    "import_from_cwd",
    "instantiate",
    "module_file",
    "qualname",
    "symbol_by_name",
]
