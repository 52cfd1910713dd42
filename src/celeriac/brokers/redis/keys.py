"""Names of keys: Celery's lists, and ours beside them. Pure.

Whatever is `global_keyprefix` stands in front of every name. Names are bytes here, as they travel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

SEPARATOR: Final = "\x06\x16"
"""What kombu puts between a queue and its priority step (transport option `sep`)."""

STEPS: Final = (0, 3, 6, 9)
"""Kombu's priority steps (transport option `priority_steps`): one list for each, the lowest is served first."""

FORMAT: Final = "1"
"""Version of what is stored in our keys. Raise it when a node of the former version could not work beside this one."""

_REMEMBERED: Final = 4096


class Keys:
    """Name every key of one database.

    Args:
        prefix: `global_keyprefix`.
        separator: between a queue and its step.
        steps: ascending, beginning with 0.
    """

    def __init__(
        self, prefix: str = "", *, separator: str = SEPARATOR, steps: Sequence[int] = STEPS, ours: str = "celeriac:"
    ) -> None:
        self._prefix = prefix.encode()
        self._separator = separator.encode()
        self._steps = tuple(steps)
        self._ours = self._prefix + ours.encode()
        self._lists: dict[tuple[str, int], bytes] = {}
        self.owners = self._our("owners")
        self.epochs = self._our("epochs")
        self.beats = self._our("beats")
        self.dying = self._our("dying")
        self.counts = self._our("counts")
        self.delayed = self._our("delayed")
        self.delayed_counts = self._our("delayed:counts")
        self.dead = self._our("dead")
        self.dead_last = self._our("dead:last")
        self.alive = self._our("alive")
        self.queues = self._our("queues")
        self.format = self._our("format")
        self.replaced = self._our("replaced")
        self.unique_in_use = self._our("unique")
        self.flows = self._our("flows")
        self.bookings = self._our("bookings")
        self.rooms = self._our("rooms")
        self.aside_last = self._our("aside:last")
        self.revoked = self._our("revoked")
        self.revoked_version = self._our("revoked:version")
        self.revoked_versions = self._our("revoked:versions")
        self.bindings = self._prefix + b"_kombu.binding."
        self.binding_deadlines = self._prefix + b"_kombu.binding_deadlines"
        self.inboxes = self._our("inboxes")
        self.broadcasts = self._our("broadcasts")
        self.permanent_bindings = self._prefix + b"_kombu.binding_permanent."

    def _our(self, name: str) -> bytes:
        return self._ours + name.encode()

    @property
    def separator(self) -> str:
        """What stands between a queue and its step, and between the parts of a binding."""
        return self._separator.decode()

    def held(self, owner: int) -> bytes:
        """Name the hash of what an owner has claimed: tag to record."""
        return self._our(f"held:{owner}")

    def started(self, owner: int) -> bytes:
        """Name the set of the tags that an owner has handed to children."""
        return self._our(f"started:{owner}")

    def dead_of(self, queue: str) -> bytes:
        """Name the sorted set of the numbers of a queue's dead letters."""
        return self._our(f"dead:of:{queue}")

    def sent(self, producer: str) -> bytes:
        """Name the number of the last batch of a publishing connection."""
        return self._our(f"sent:{producer}")

    def proof(self, word: str) -> bytes:
        """Name what a node writes to see that it is told of what changes."""
        return self._our(f"proof:{word}")

    def answered(self, producer: str) -> bytes:
        """Name the answer to the last batch of a publishing connection in which there were unique messages."""
        return self._our(f"answered:{producer}")

    def unique(self, key: str) -> bytes:
        """Name the run that has a unique key."""
        return self._our(f"unique:{key}")

    def heard(self, queue: str, tag: str) -> bytes:
        """Name the note that a queue has what was said under a tag."""
        return self._our(f"heard:{queue}:{tag}")

    def room(self, key: str) -> tuple[bytes, bytes, bytes]:
        """Name who is inside of a concurrency limit, who was called, and who waits."""
        return self._our(f"inside:{key}"), self._our(f"called:{key}"), self._our(f"aside:of:{key}")

    def list_of(self, queue: str, priority: int = 0) -> bytes:
        """Name the list in which a message of that priority waits: that of the largest step not above it."""
        found = self._lists.get((queue, priority))
        if found is None:
            if len(self._lists) >= _REMEMBERED:
                self._lists.clear()
            step = max((step for step in self._steps if step <= min(priority, 9)), default=0)
            found = self._lists[queue, priority] = self._step_of(queue, step)
        return found

    def lists_of(self, queue: str) -> list[bytes]:
        """Name all lists of a queue, the one that is served first in front."""
        return [self._step_of(queue, step) for step in self._steps]

    def _step_of(self, queue: str, step: int) -> bytes:
        base = self._prefix + queue.encode()
        return base + self._separator + b"%d" % step if step else base

    def queue_of(self, name: bytes) -> str:
        """Return the queue that a list belongs to."""
        plain = name.removeprefix(self._prefix)
        base, separator, step = plain.rpartition(self._separator)
        is_step = separator and step.isdigit() and int(step) in self._steps
        return (base if is_step else plain).decode(errors="replace")

    def queue_of_binding(self, member: bytes) -> str:
        """Return the queue that a member of one of kombu's binding tables names."""
        return member.rpartition(self._separator)[2].decode(errors="replace")
