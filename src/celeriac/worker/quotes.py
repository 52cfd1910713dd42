"""Bodies that are told by what their reader has already. Pure.

A message of a chain carries all steps that are left. What follows a run is that run's own body but for its arguments
and the next step; and what a child is sent next is, nearly always, what it has just answered. So neither travels again.
"""

from __future__ import annotations

from typing import Final

import msgspec

WORTH_QUOTING: Final = 16 * 1024
"""Bytes of a body from which on it is cheaper to compare than to send."""

_CHAIN: Final = b'"chain": [{'
_CHAIN_END: Final = b'], "chord": '


class Quote(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """Tell a body by another one.

    Attributes:
        before: what it begins with.
        begin, end: what comes then lies between these places of the other one.
        behind: what it ends with.
    """

    before: bytes
    begin: int
    end: int
    behind: bytes


def quoted(body: bytes, known: bytes) -> Quote | None:
    """Return how a body is told by another one, or None where that spares nothing: they are not of one chain."""
    if len(body) < WORTH_QUOTING or len(known) < WORTH_QUOTING:
        return None
    begin, end, at = body.find(_CHAIN), body.rfind(_CHAIN_END), known.find(_CHAIN)
    if not 0 <= begin < end or at < 0 or not known.startswith(body[begin:end], at):
        return None
    return Quote(body[:begin], at, at + end - begin, body[end:])


def told(quote: Quote, known: bytes) -> bytes:
    """Return the body that is told.

    Raises:
        ValueError: that does not lie in the other one.
    """
    if not 0 <= quote.begin <= quote.end <= len(known):
        raise ValueError(f"bytes {quote.begin} to {quote.end} of a body of {len(known)} bytes are quoted")
    return b"".join((quote.before, memoryview(known)[quote.begin : quote.end], quote.behind))
