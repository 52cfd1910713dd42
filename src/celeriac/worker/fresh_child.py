"""A child that starts as a fresh interpreter, because the forkserver runs threads and must not fork.

python -m celeriac.worker.fresh_child OPTIONS END LINE PLACE CAPACITY PARENT
"""

from __future__ import annotations

import os
import socket
import sys
import warnings

import msgspec

from celeriac.exceptions import SettingWithoutEffect
from celeriac.worker.forkserver import become_child
from celeriac.worker.node import Node
from celeriac.worker.options import NodeOptions


def main(arguments: list[str]) -> int:
    """Be a child; return its exit code. The arguments are those that the forkserver appends to `Node.child_command`."""
    options, end, line, place, capacity, parent = arguments
    become_child(int(parent))
    for descriptor in (end, line):  # inheritable up to here; what bodies start has no business with them
        os.set_inheritable(int(descriptor), False)
    warnings.simplefilter("ignore", SettingWithoutEffect)  # the supervisor reads the same, and warns
    node = Node(msgspec.json.decode(options, type=NodeOptions))
    node.prepare_for_bodies()
    own, orders = socket.socket(fileno=int(end)), socket.socket(fileno=int(line))
    return node.run_child(int(place), int(capacity), own, orders)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
