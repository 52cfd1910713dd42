"""Messages in Redis, in Celery's keys and envelope, with claims, leases and settling of our own.

place.py        what a URL names; pure
options.py      what transport options, SSL and other settings say about it; pure
resolving.py    host names to addresses, in a thread that a deadline can leave behind
connections.py  the one place that makes connections, blocking and asyncio
failures.py     a driver's error in our words: what happened, where, what to do
link.py         commands from any thread, within absolute deadlines
async_link.py   commands from an event loop
channels.py     names of channels, inboxes and their lists; pure
bus.py          the bus, blocking and for event loops
listening.py    feed a subscription, over a connection that is made again when it is lost
"""

from __future__ import annotations
