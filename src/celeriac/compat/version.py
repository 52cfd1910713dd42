"""What Celery tells of its version, told of celeriac's."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from celeriac import __version__
from celeriac.compat.as_celery import CELERY_VERSION


class version_info_t(NamedTuple):
    """A version in its parts."""

    major: int
    minor: int
    micro: int
    releaselevel: str
    serial: str


_PARTS: Final = re.match(r"(\d+)\.(\d+)\.(\d+)(.*)", __version__)
if _PARTS is None:
    raise RuntimeError(f"the version {__version__!r} is not made of three numbers")

VERSION: Final = version_info_t(int(_PARTS[1]), int(_PARTS[2]), int(_PARTS[3]), _PARTS[4], "")
version_info: Final = VERSION
SERIES: Final = "celeriac"
VERSION_BANNER: Final = f"{__version__} ({SERIES})"

CELERYS_VERSION: Final = version_info_t(*CELERY_VERSION, "", "")
CELERYS_VERSION_BANNER: Final = f"{'.'.join(map(str, CELERY_VERSION))} ({SERIES} {__version__})"
BILLIARDS_VERSION: Final = version_info_t(4, 3, 0, "", "")
"""That which comes with it."""
