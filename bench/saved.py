"""A report as a file: every round of it, for comparing runs and for the page of documentation."""

from __future__ import annotations

import msgspec

from bench.report import Report


def written(report: Report) -> bytes:
    """Write a report as JSON that people can read and compare."""
    return msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n"


def read(text: bytes) -> Report:
    """Read what `written` wrote."""
    return msgspec.json.decode(text, type=Report)
