"""A broker in the memory of one process: the reference for what the others must do, and quick to test with.

Producers may be in any thread, consumers in an event loop of any thread. Brokers of one name share a store. Nothing
ever makes anybody wait, so deadlines always hold; a claim waits in real time, whatever clock decides.

store.py     the tables, and their changes: all of a change, or nothing of it
broker.py    the producer's side
consumer.py  the worker's side
bus.py       the bus, and the room in which those of one name meet
"""

from __future__ import annotations

from celeriac.brokers.memory.broker import MemoryBroker

__all__ = ["MemoryBroker"]
