"""The life of a child: read a packet, run it, send the outcome.

A child owns nothing that others need. It holds no lock, no connection of the node, no message that the supervisor
does not know of; it may be killed at any instant.
"""

from __future__ import annotations

import socket

from celeriac.app.application import Celery
from celeriac.worker import packets
from celeriac.worker.execute import Executor
from celeriac.worker.runs import READY, Outcome, decode_run, encode


def serve(app: Celery, end: socket.socket, *, hostname: str) -> None:
    """Run packets until the supervisor closes its end, or has gone.

    Args:
        app: its tasks are registered.
        end: the child's end of its channel.
        hostname: the node's name.
    """
    executor = Executor(app, hostname)
    try:
        packets.send(end, encode(Outcome(READY, "", None, 0, 0.0)))
        while packet := packets.receive(end):
            packets.send(end, encode(executor.execute(decode_run(packet))))
    except OSError:
        return  # the supervisor has gone; nobody is left to tell
    finally:
        executor.close()
