"""Messages in Redis, in Celery's keys and envelope, with claims, leases and settling of our own.

place.py        what a URL names; pure
options.py      what transport options, SSL and other settings say about it; pure
resolving.py    host names to addresses, in a thread that a deadline can leave behind
connections.py  the one place that makes connections, blocking and asyncio
failures.py     a driver's error in our words: what happened, where, what to do
link.py         commands from any thread, within absolute deadlines; session.py: in order, and again when their
                answers are lost; line.py: the connection below them
async_link.py   commands from an event loop; async_line.py: the connection below it
channels.py     names of channels, inboxes and their lists; pure
bus.py          the bus, blocking and for event loops
listening.py    feed a subscription, over a connection that is made again when it is lost
keys.py         names of keys; records.py: what lies in ours; both pure
scripts.py      Lua scripts, whose files are in lua/
broker.py       the producer's side; depths.py and dead_letters.py: what people see and do
consumer.py     the worker's side, made of:
  ownership.py    calls in the name of one owner, and what becomes of those that were not answered
  claiming.py     claims, and naps while there is nothing to claim; wakes.py: being told when there is
  claims.py       which lists a claim names, and what it hands over; pure
  settlements.py  settlements, a batch in one script each; routes.py: what goes from there to exchanges
  settling.py     settlements and releases as scripts read them; joining.py: what they do to joins; both pure
  giving_back.py  releases, and what a node holds without knowing of it
  notes.py        what was handed to children; telling.py: saying so when no other call does in time
  peers.py        the other owners, and what the dead among them held; owners.py: who is registered
  own_queues.py   being there for what is said to everybody
"""

from __future__ import annotations
