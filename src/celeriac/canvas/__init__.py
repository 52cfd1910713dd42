"""Calls that are not made yet, and how they combine."""

from __future__ import annotations

from celeriac.canvas.chain import Chain as Chain
from celeriac.canvas.chain import chain as chain
from celeriac.canvas.chord import chord as chord
from celeriac.canvas.group import group as group
from celeriac.canvas.maps import chunks as chunks
from celeriac.canvas.maps import xmap as xmap
from celeriac.canvas.maps import xstarmap as xstarmap
from celeriac.canvas.signature import Signature as Signature
from celeriac.canvas.signature import maybe_signature as maybe_signature
from celeriac.canvas.signature import maybe_subtask as maybe_subtask
from celeriac.canvas.signature import signature as signature
from celeriac.canvas.signature import subtask as subtask
from celeriac.canvas.stamping import GroupStampingVisitor as GroupStampingVisitor
from celeriac.canvas.stamping import StampingVisitor as StampingVisitor
