# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.brokers.routing import MapRoute as MapRoute
from celeriac.brokers.routing import Router as Router
from celeriac.brokers.routing import compile_routes as prepare

__all__ = [
    "MapRoute",
    "Router",
    "prepare",
]
