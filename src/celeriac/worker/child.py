"""The life of a child: read packets, run them, send outcomes, as its pool does.

A child owns nothing that others need. It holds no lock, no connection of the node, no message that the supervisor
does not know of; it may be killed at any instant.
"""

from __future__ import annotations

import contextlib
import socket

from celeriac.worker.channel import Channel
from celeriac.worker.pools.base import Pool


def serve(pool: Pool, end: socket.socket) -> None:
    """Run packets until the supervisor closes its end, or has gone.

    Args:
        pool: runs them.
        end: the child's end of its channel.
    """
    with contextlib.suppress(OSError):  # the supervisor has gone; nobody is left to tell
        pool.serve(Channel(end))
