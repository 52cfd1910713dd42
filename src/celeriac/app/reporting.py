"""What to paste into a bug report: versions, platform, stores, and the settings that are not at their defaults."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from celeriac import __version__
from celeriac.app.current import current_app
from celeriac.exceptions import CeleriacError
from celeriac.masking import masked_url

if TYPE_CHECKING:
    from celeriac.app.application import Celery

_OPTIONAL: Final = (
    *("uvloop", "redis", "hiredis", "aiormq", "amqp", "psycopg", "sqlalchemy", "kombu", "pydantic", "msgpack"),
    *("pyyaml", "cryptography", "brotli", "backports.zstd", "tblib", "django", "gevent", "eventlet"),
)
"""Packages that celeriac works with when they are installed."""


def bugreport(app: Celery | None = None) -> str:
    """Write the report about an app, or the current one. It connects to nothing, and shows no passwords.

    Raises:
        ImproperlyConfigured: the settings cannot be read.
    """
    # Here, as in `_installed`: 20 ms together, which no other use of an app needs.
    import platform
    import sqlite3

    app = current_app() if app is None else app
    broker = _told(app.conf.broker_url, lambda: app.broker.url)
    backend = _told(app.conf.result_backend, lambda: "disabled" if app.backend is None else app.backend.url)
    return (
        f"software -> celeriac:{__version__} py:{platform.python_version()} msgspec:{msgspec.__version__} "
        f"sqlite:{sqlite3.sqlite_version}\n"
        f"            {' '.join(_installed()) or 'nothing optional'}\n"
        f"platform -> system:{platform.system()} {platform.release()} {platform.machine()} "
        f"imp:{platform.python_implementation()}\n"
        f"            {sys.executable}\n"
        f"app      -> {app.main or 'without a name'}, tasks:{len(app.tasks.own())}\n"
        f"settings -> transport:{broker} results:{backend}\n"
        f"\n{app.conf.humanize()}\n"
    )


def _told(url: str | None, find_default: Callable[[], str]) -> str:
    """Tell the URL that is set, or the default; or why there is none, since that may be what is reported."""
    try:
        return masked_url(find_default() if url is None else url)
    except CeleriacError as error:
        return f"none ({error})"


def _installed() -> list[str]:
    from importlib.metadata import PackageNotFoundError, version

    found = []
    for name in _OPTIONAL:
        try:
            found.append(f"{name}:{version(name)}")
        except PackageNotFoundError:
            continue
    return found
