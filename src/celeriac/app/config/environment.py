"""Settings in the environment: ``CELERIAC_`` before the name of any, and the four variables that Celery reads."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from celeriac.app.config.names import Names
from celeriac.app.config.said import Said
from celeriac.app.config.texts import read_text
from celeriac.exceptions import UnknownSetting

CONFIG_MODULE: Final = ("CELERIAC_CONFIG_MODULE", "CELERY_CONFIG_MODULE")
"""Variables that name a module to read settings from, the first one first."""

_PREFIX: Final = "CELERIAC_"

_OF_CELERY: Final = {
    "CELERY_BROKER_URL": "broker_url",
    "CELERY_BROKER_READ_URL": "broker_read_url",
    "CELERY_BROKER_WRITE_URL": "broker_write_url",
    "CELERY_RESULT_BACKEND": "result_backend",
}

_NO_SETTINGS: Final = frozenset(
    ("CELERIAC_APP", "CELERIAC_AS_CELERY", "CELERIAC_CONFIG_MODULE", "CELERIAC_HOME", "CELERIAC_NO_UVLOOP")
)
"""Variables that are about something else."""

# Kubernetes tells every container of the services of its namespace, for one called `celeriac` in variables such as
# CELERIAC_PORT_6379_TCP=tcp://10.0.0.1:6379.
_OF_KUBERNETES: Final = re.compile(r"_SERVICE_(HOST|PORT(_\w+)?)$|_PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?$")
_ADDRESS: Final = re.compile(r"(tcp|udp|sctp)://")


def from_environment(environ: Mapping[str, str], names: Names) -> dict[str, Said]:
    """Return what the environment says; an empty variable says nothing.

    Raises:
        UnknownSetting: a variable begins with ``CELERIAC_`` and there is no such setting.
        ImproperlyConfigured: a value is not of the setting's kind.
    """
    said: dict[str, Said] = {}
    for variable, name in _OF_CELERY.items():
        if environ.get(variable):
            said[name] = _read(variable, name, environ, names)
    for variable in environ:
        if variable.startswith(_PREFIX) and environ[variable] and not _is_other(variable, environ[variable]):
            found = names.find(variable[len(_PREFIX) :].lower())
            if found is not None:
                said[found] = _read(variable, found, environ, names)
            elif not _OF_KUBERNETES.search(variable):
                raise _unknown(variable, names)
    return said


def _is_other(variable: str, value: str) -> bool:
    if variable in _NO_SETTINGS or variable.startswith("CELERIAC_TEST_"):
        return True
    return variable.endswith("_PORT") and _ADDRESS.match(value) is not None


def _read(variable: str, name: str, environ: Mapping[str, str], names: Names) -> Said:
    source = f"environment {variable}"
    return Said(read_text(names.table[name], environ[variable], source), source, variable)


def _unknown(variable: str, names: Names) -> UnknownSetting:
    near = Names(table=names.table).nearest(variable[len(_PREFIX) :].lower())
    hint = f"; did you mean {_PREFIX}{near.upper()}?" if near else ""
    return UnknownSetting(f"the environment has {variable} (a str), and there is no such setting{hint}")
