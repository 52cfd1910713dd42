"""Messages in Redis, in Celery's keys and envelope, with claims, leases and settling of our own.

place.py        what a URL names; pure
options.py      what transport options, SSL and other settings say about it; pure
resolving.py    host names to addresses, in a thread that a deadline can leave behind
connections.py  the one place that makes connections, blocking and asyncio
failures.py     a driver's error in our words: what happened, where, what to do
link.py         commands from any thread, within absolute deadlines
async_link.py   commands from an event loop; async_line.py: the connection below it
channels.py     names of channels, inboxes and their lists; pure
bus.py          the bus, blocking and for event loops
listening.py    feed a subscription, over a connection that is made again when it is lost
keys.py         names of keys; records.py: what lies in ours; both pure
scripts.py      Lua scripts, whose files are in lua/
broker.py       the producer's side; depths.py and dead_letters.py: what people see and do
consumer.py     the worker's side, made of:
  ownership.py    calls in the name of one owner, and what becomes of those that were not answered
  claims.py       which lists a claim names, and what it hands over; pure
  settling.py     settlements and releases as scripts read them; joining.py: what they do to joins; both pure
  notes.py        what was handed to children
  owners.py       who is registered
  wakes.py        sleeping until there may be something
"""

from __future__ import annotations
