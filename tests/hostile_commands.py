"""What whoever reaches the bus may say to a node: the malformed first, then commands that cannot be done."""

from __future__ import annotations

HOSTILE = [
    b"",
    b"[]",
    b"{",
    b"null",
    b'{"method": 7}',
    b'{"method": "ping", "arguments": [1]}',
    b'{"method": "ping", "destination": {"a": 1}}',
    b'{"method": "' + b"[" * 10_000 + b'"}',
    b"[" * 10_000 + b"]" * 10_000,
    b'{"method": "ping", "pattern": "(a+)+$", "matcher": "pcre"}',
    b'{"method": "revoke", "arguments": {"task_id": [7]}}',
    b'{"method": "revoke", "arguments": {"task_id": "x", "signal": "SIGNOTHING", "terminate": true}}',
    b'{"method": "__class__"}',
    b'{"method": "ping", "arguments": {"state": 1, "self": 2}}',
    b'{"method": "add_consumer", "arguments": {"queue": ["a"]}}',
    b'{"method": "pool_grow", "arguments": {"n": 1e99}}',
    b'{"method": "query_task", "arguments": {"ids": 7}}',
    b'{"method": "registered", "arguments": {"taskinfoitems": 7}}',
    b'{"method": "hello", "arguments": {"from_node": 7, "revoked": "abc"}}',
    b'{"method": "memdump", "arguments": {"samples": "x"}}',
    b'{"method": "revoke_by_stamped_headers", "arguments": {"headers": 7}}',
    b'{"method": "time_limit", "arguments": {"task_name": "shop.pay", "hard": -1}}',
    b'{"method": "time_limit", "arguments": {"task_name": ["shop.pay"]}}',
    b'{"method": "rate_limit", "arguments": {"task_name": "shop.pay", "rate_limit": {"a": 1}}}',
]
