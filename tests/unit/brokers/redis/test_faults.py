from __future__ import annotations

import os

import pytest

from celeriac.testing.brokers.suite import MIB, publish
from celeriac.testing.worlds import a_message
from celeriac.wire.envelope import write_envelope


def test_a_huge_message_is_not_sent(world, client):
    """A16: only its end is, which tells who it is."""
    huge = a_message("huge", body=os.urandom(3 * MIB))
    publish(world.broker(), huge, a_message("small"))
    node = world.node(world.broker(message_max_bytes=MIB))
    sent_before = client.info("stats")["total_net_output_bytes"]

    big, small = node.claim()

    assert client.info("stats")["total_net_output_bytes"] - sent_before < MIB
    assert (big.message.task_id, big.message.headers, big.message.body) == ("huge", huge.headers, b"")
    assert "message_max_bytes" in str(big.fault)
    assert small.fault is None
    node.bury(big, reason="too large")
    [letter] = world.broker().dead_letters()
    assert (letter.task_id, letter.task) == ("huge", "shop.pay")
    assert letter.size_bytes == pytest.approx(huge.size_bytes, abs=4)
    shown = world.broker().dead_letter(letter.number)
    assert shown is not None
    assert shown.message == huge


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"body": 5}',
        b'{"body": "%%%", "properties": {"body_encoding": "base64"}}',
        b"x" * 300_000,
    ],
)
def test_what_is_no_envelope_is_handed_over_as_a_fault_with_its_bytes(world, client, raw):
    client.lpush("q", raw, write_envelope(a_message("good"), delivery_tag="x"))
    node = world.node()

    bad, good = node.claim()

    assert bad.fault
    assert bad.message.body == raw
    assert (good.message.task_id, good.fault) == ("good", None)
    node.bury(bad, reason="no envelope")
    [letter] = world.broker().dead_letters()
    assert letter.size_bytes == len(raw)
    shown = world.broker().dead_letter(letter.number)
    assert shown is not None
    assert shown.message is not None
    assert shown.message.body == raw


def test_a_damaged_envelope_keeps_its_name(world, client):
    raw = write_envelope(a_message("known"), delivery_tag="x").replace(b'"headers": {', b'"headers": {{')
    client.lpush("q", raw)

    [delivery] = world.node().claim()

    assert delivery.message.task_id == "known"
    assert delivery.fault
