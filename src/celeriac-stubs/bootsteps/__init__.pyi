# Written by `python -m celeriac.compat.stubs` from celeriac/compat/paths.py.
from celeriac.app.steps import ConsumerStep as ConsumerStep
from celeriac.app.steps import StartStopStep as StartStopStep
from celeriac.app.steps import Step as Step

__all__ = [
    "ConsumerStep",
    "StartStopStep",
    "Step",
]
