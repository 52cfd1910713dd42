"""A child that starts as a fresh interpreter, because the forkserver runs threads and must not fork.

python -m celeriac.worker.fresh_child OPTIONS DESCRIPTOR SLOT PARENT
"""

from __future__ import annotations

import socket
import sys

import msgspec

from celeriac.worker.forkserver import become_child
from celeriac.worker.node import Node
from celeriac.worker.options import NodeOptions


def main(arguments: list[str]) -> None:
    """Be a child. The arguments are those that the forkserver appends to `Node.child_command`."""
    options, descriptor, slot, parent = arguments
    become_child(int(parent))
    node = Node(msgspec.json.decode(options, type=NodeOptions))
    node.run_child(int(slot), socket.socket(fileno=int(descriptor)))


if __name__ == "__main__":
    main(sys.argv[1:])
