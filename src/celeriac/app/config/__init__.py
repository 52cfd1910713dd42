"""The settings: a typed table of what exists, where values come from, and the object that holds what an app chose."""

from __future__ import annotations

from celeriac.app.config.setting import Setting
from celeriac.app.config.settings import Settings
from celeriac.app.config.table import SETTINGS

__all__ = ("SETTINGS", "Setting", "Settings")
