# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.eager_result import EagerResult as EagerResult
from celeriac.app.group_result import GroupResult as GroupResult
from celeriac.app.joining import allow_join_result as allow_join_result
from celeriac.app.joining import assert_will_not_block as assert_will_not_block
from celeriac.app.joining import denied_join_result as denied_join_result
from celeriac.app.joining import task_join_will_block as task_join_will_block
from celeriac.app.result import AsyncResult as AsyncResult
from celeriac.app.result_set import ResultSet as ResultSet
from celeriac.app.result_tree import ResultBase as ResultBase
from celeriac.app.result_tree import result_from_tuple as result_from_tuple

__all__ = [
    "AsyncResult",
    "EagerResult",
    "GroupResult",
    "ResultBase",
    "ResultSet",
    "allow_join_result",
    "assert_will_not_block",
    "denied_join_result",
    "result_from_tuple",
    "task_join_will_block",
]
