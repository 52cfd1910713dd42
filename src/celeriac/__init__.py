"""A distributed task framework: Celery's API and wire, with guarantees and speed of its own."""

from __future__ import annotations

__version__ = "0.1.0"
