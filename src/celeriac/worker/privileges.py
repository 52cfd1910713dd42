"""As whom a node runs, and whether it may as root: whoever can publish a pickle can do what the node can do."""

from __future__ import annotations

import grp
import os
import pwd
import warnings
from collections.abc import Mapping
from typing import Final

from celeriac.exceptions import ImproperlyConfigured, SecurityError, SecurityWarning
from celeriac.wire.serializers import Accept

_PICKLE: Final = "application/x-python-serialize"
_FORCE: Final = "C_FORCE_ROOT"


def is_root() -> bool:
    """Say whether this process has the rights of root."""
    return hasattr(os, "geteuid") and 0 in (os.getuid(), os.geteuid())


def become(user: str | None, group: str | None) -> None:
    """Go on as another user and group (`--uid`, `--gid`), for good. None leaves what is not said.

    Args:
        user: name or number; its group counts where no other is said.
        group: name or number.

    Raises:
        ImproperlyConfigured: there is no such user or group, or this process may not become it.
    """
    if user is None and group is None:
        return
    found = None if user is None else _user(user)
    number = _group(group) if group is not None else found.pw_gid if found is not None else os.getgid()
    try:
        if number != os.getgid():
            os.setgid(number)
        if found is not None and found.pw_uid != os.getuid():
            os.initgroups(found.pw_name, number)
            os.setuid(found.pw_uid)
    except PermissionError:
        raise ImproperlyConfigured(
            "--uid and --gid: only root may become another user or group; start the worker as that one"
        ) from None
    if found is not None:
        os.environ.update(HOME=found.pw_dir, USER=found.pw_name, LOGNAME=found.pw_name)


def _user(given: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(given)) if given.isdecimal() else pwd.getpwnam(given)
    except KeyError:
        raise ImproperlyConfigured(f"--uid: this machine has no user {given!r}") from None


def _group(given: str) -> int:
    try:
        return (grp.getgrgid(int(given)) if given.isdecimal() else grp.getgrnam(given)).gr_gid
    except KeyError:
        raise ImproperlyConfigured(f"--gid: this machine has no group {given!r}") from None


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
