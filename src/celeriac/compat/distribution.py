"""What `importlib.metadata` tells of Celery where celeriac stands for it: its version, which packages ask for."""

from __future__ import annotations

from importlib.metadata import Distribution
from os import PathLike
from typing import NoReturn

from celeriac.compat.as_celery import CELERY_VERSION


class CeleryStoodFor(Distribution):
    """Be the distribution `celery`: of no files, needs and entry points, and of the version that `celery` tells."""

    def read_text(self, filename: str) -> str | None:
        """Return the text of a file of metadata; None where there is none."""
        if filename != "METADATA":
            return None
        return f"Metadata-Version: 2.1\nName: celery\nVersion: {'.'.join(map(str, CELERY_VERSION))}\n"

    def locate_file(self, path: str | PathLike[str]) -> NoReturn:
        """Raise: there are none.

        Raises:
            FileNotFoundError: always.
        """
        raise FileNotFoundError(f"{path}: celeriac stands for Celery here, which has no files")
