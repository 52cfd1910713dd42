"""How large a message may be, whoever wrote it."""

from __future__ import annotations

from typing import Final

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Bound what is written, and what is read from strangers.

    Attributes:
        max_bytes: headers, body and properties together, as received.
        max_depth: arrays and objects inside each other, in headers, bodies and results.
        max_headers: number of headers.
        max_header_bytes: size of all headers together.
        max_task_name: characters of a task's name.
        max_id: characters of a task id.
        max_queue: characters of a queue's name.
    """

    max_bytes: int = 16 * 1024 * 1024
    max_depth: int = 128
    max_headers: int = 256
    max_header_bytes: int = 256 * 1024
    max_task_name: int = 1024
    max_id: int = 255
    max_queue: int = 255


DEFAULT_LIMITS: Final = Limits()
