"""What the death of a child means for what it was running. Pure."""

from __future__ import annotations

import msgspec

from celeriac.worker.children import Child
from celeriac.worker.held import Held, Verdict


class Fates(msgspec.Struct, frozen=True):
    """Divide what a child had not answered when it died, what it had not read left out.

    Attributes:
        killed: was being ended, with what it comes to.
        innocent: ran beside something that was being ended, and runs again uncounted.
        crashed: has killed the child, as far as anybody knows; or was acked before its run, and cannot run again.
        suspected: ran where several did: nobody knows which of them did it.
    """

    killed: list[tuple[Held, Verdict]]
    innocent: list[Held]
    crashed: list[Held]
    suspected: list[Held]


def after_death(child: Child) -> Fates:
    """Say what each run of a dead child comes to."""
    fates = Fates([], [], [], [])
    running = []
    for held in child.sent.values():
        if held.verdict is not None:
            fates.killed.append((held, held.verdict))
        elif held.if_killed is not None and (child.is_doomed or len(child.sent) > 1):
            fates.killed.append((held, held.if_killed))
        elif child.is_doomed and not held.acked:
            fates.innocent.append(held)
        else:
            running.append(held)
    for held in running:
        (fates.crashed if held.acked or len(child.sent) == 1 else fates.suspected).append(held)
    return fates
