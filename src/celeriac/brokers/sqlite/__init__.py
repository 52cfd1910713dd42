"""The embedded default: messages and results in one SQLite file.

place.py     where a file may lie, and what is wrong with it when it may not
schema.py    the tables, and the version of the file
store.py     one open file: its connection, its write lock, its transactions
bell.py      wake sleepers of other processes after a commit
owners.py    show that an owner's process lives, tell whose does not; keep what it had started
group.py     commit together what several threads publish at once
broker.py    the producer's side
revoked.py   keep what is revoked
claims.py    choose what a claim takes
consumer.py  the worker's side
notices.py   the tables of the bus, in a file of its own
bus.py       the bus, blocking and for event loops
listening.py  feed a subscription, after each ring
"""

from __future__ import annotations

from celeriac.brokers.sqlite.broker import SqliteBroker

__all__ = ["SqliteBroker"]
