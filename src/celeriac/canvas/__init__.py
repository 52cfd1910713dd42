"""Calls that are not made yet."""

from __future__ import annotations

from celeriac.canvas.signature import Signature as Signature
from celeriac.canvas.signature import maybe_signature as maybe_signature
from celeriac.canvas.signature import maybe_subtask as maybe_subtask
from celeriac.canvas.signature import signature as signature
from celeriac.canvas.signature import subtask as subtask
