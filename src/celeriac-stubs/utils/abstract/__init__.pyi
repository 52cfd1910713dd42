# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.task import Task as CallableTask
from celeriac.canvas.signature import Signature as CallableSignature

__all__ = [
    "CallableSignature",
    "CallableTask",
]
