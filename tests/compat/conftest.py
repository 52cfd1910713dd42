"""The projects have suites of their own, which run in the projects' environments."""

from __future__ import annotations

collect_ignore = ["projects"]
