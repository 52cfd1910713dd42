# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.testing.app import DEFAULT_TEST_CONFIG as DEFAULT_TEST_CONFIG
from celeriac.testing.app import TestApp as TestApp
from celeriac.testing.app import Trap as Trap
from celeriac.testing.app import set_trap as set_trap
from celeriac.testing.app import setup_default_app as setup_default_app

__all__ = [
    "DEFAULT_TEST_CONFIG",
    "TestApp",
    "Trap",
    "set_trap",
    "setup_default_app",
]
