"""Whether a node may run as root: whoever can publish a pickle can do what the node can do."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Final

from celeriac.exceptions import SecurityError, SecurityWarning
from celeriac.wire.serializers import Accept

_PICKLE: Final = "application/x-python-serialize"
_FORCE: Final = "C_FORCE_ROOT"


def is_root() -> bool:
    """Say whether this process has the rights of root."""
    return hasattr(os, "geteuid") and 0 in (os.getuid(), os.geteuid())


def check_privileges(accept: Accept, *, root: bool, environment: Mapping[str, str]) -> None:
    """Warn of a node that runs as root, and refuse one that opens pickles as root, unless that is forced.

    Raises:
        SecurityError: messages could do as root whatever they like.
    """
    if not root:
        return
    if _PICKLE in accept.content_types and accept.pickle_queues and not environment.get(_FORCE):
        raise SecurityError(
            "this worker would run as root and open pickles (accept_content, accept_pickle_from), so whoever can "
            f"publish a message is root here; start it as another user, or set {_FORCE}=1 if you trust all who "
            "can publish"
        )
    warnings.warn(
        "this worker runs as root, and so does every task; start it as a user who may do only what the tasks need",
        SecurityWarning,
        stacklevel=2,
    )
