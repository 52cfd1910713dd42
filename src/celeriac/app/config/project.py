"""Settings in `pyproject.toml`: the table `[tool.celeriac]`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from celeriac.exceptions import ImproperlyConfigured

FILE: Final = "pyproject.toml"

APP: Final = "app"
"""The key that names the app of the project; it is no setting."""


def read_project(folder: Path) -> dict[str, Any]:
    """Return the table `[tool.celeriac]` of the project in a folder; an empty one where there is none.

    Raises:
        ImproperlyConfigured: the file cannot be read, or what stands there is no table.
    """
    path = folder / FILE
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error}") from error
    if b"celeriac" not in content:
        return {}
    import tomllib  # 5 ms, and most projects have no such table

    try:
        tools = tomllib.loads(content.decode()).get("tool", {})
    except ValueError as error:  # not TOML and not UTF-8 are both a ValueError
        raise ImproperlyConfigured(f"{path} cannot be read: {error}") from error
    ours = tools.get("celeriac", {}) if isinstance(tools, dict) else {}
    if not isinstance(ours, dict):
        raise ImproperlyConfigured(f"[tool.celeriac] in {path} must be a table, got {ours!r}")
    return ours


def settings_in_project(folder: Path) -> dict[str, Any]:
    """Return the settings of the project in a folder, not checked.

    Raises:
        ImproperlyConfigured: as `read_project`.
    """
    return {key: value for key, value in read_project(folder).items() if key != APP}
