"""What both ends of a channel have already does not travel over it again."""

from __future__ import annotations

import pytest

from celeriac.message import Message
from celeriac.wire.bodies import Embed, write_body
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.worker import packets
from celeriac.worker.channel import Channel
from celeriac.worker.quotes import WORTH_QUOTING, Quote, quoted, told
from celeriac.worker.runs import Outcome, Run, decode_outcome, decode_run, encode
from celeriac.worker.slots import Slots
from tests.unit.worker.crew import KILLED, Children, held, send, started

STEPS = 200


def bodies() -> list[bytes]:
    """Return the bodies of the first messages of a chain, each of which follows the one before."""
    step = {
        "task": "shop.pay",
        "args": ["\u00e9"],
        "kwargs": {},
        "options": {"task_id": "x" * 36},
        "subtask_type": None,
    }
    steps = [{**step, "args": [number]} for number in range(STEPS)]
    return [
        write_body(["argument"] * number, {}, Embed(chain=steps[: STEPS - number]), max_depth=DEFAULT_LIMITS.max_depth)
        for number in range(3)
    ]


def message(body: bytes) -> Message:
    return Message(task_id="id-1", queue="q", headers=b"{}", body=body)


def test_what_follows_is_told_by_what_it_follows():
    first, second, third = bodies()

    for known, body in ((first, second), (second, third), (second, second)):
        quote = quoted(body, known)
        assert quote is not None
        assert len(quote.before) + len(quote.behind) < 500
        assert told(quote, known) == body


@pytest.mark.parametrize(
    ("body", "known"),
    [
        (b"[[], {}, {}]", b"[[], {}, {}]"),
        (b"x" * WORTH_QUOTING, b"x" * WORTH_QUOTING),
        (b'"chain": [{1], "chord": ' + b" " * WORTH_QUOTING, b'"chain": [{2], "chord": ' + b" " * WORTH_QUOTING),
        (b'], "chord": "chain": [{' + b" " * WORTH_QUOTING, b'], "chord": "chain": [{' + b" " * WORTH_QUOTING),
        (b'"chain": [{1], "chord": ' + b" " * WORTH_QUOTING, b" " * WORTH_QUOTING),
    ],
    ids=["small", "no chain", "of another chain", "in no order", "after none"],
)
def test_what_is_not_of_one_chain_is_told_by_nothing(body: bytes, known: bytes):
    assert quoted(body, known) is None


@pytest.mark.parametrize(("begin", "end"), [(-1, 2), (2, 1), (0, 11)])
def test_what_is_not_there_cannot_be_told(begin: int, end: int):
    with pytest.raises(ValueError, match="of a body of 10 bytes are quoted"):
        told(Quote(b"", begin, end, b""), b"0123456789")


def outcome(number: int, body: bytes) -> Outcome:
    return Outcome(number, "SUCCESS", None, 0, 0.0, (message(body), message(b"another")))


def test_a_child_leaves_out_what_its_run_has_told_already():
    first, second, _ = bodies()
    ours, theirs = packets.pair()
    channel = Channel(theirs)
    packets.send(ours, encode(Run(1, message(first), False, 0)))
    assert channel.receive() is not None

    channel.send(outcome(1, second))
    channel.send(outcome(2, second))

    quoting, whole = (decode_outcome(packets.receive(ours)) for _ in range(2))
    assert [each.body for each in quoting.publish] == [b"", b"another"]
    assert quoting.quote is not None
    assert told(quoting.quote, first) == second
    assert (whole.quote, whole.publish[0].body) == (None, second), "that run was another one"
    ours.close()
    theirs.close()


async def test_a_chain_travels_once_between_a_node_and_its_child(children: Children):
    first, second, third = bodies()
    slots = await started(children, 1)
    [(child, end)] = children.ends.items()
    channel = Channel(end)
    seen: list[bytes] = []

    send(slots, held(1, message=message(first)))
    for number, body in ((1, second), (2, third)):
        run = channel.receive(packets.DONT_WAIT)
        assert run is not None
        seen.append(run.message.body)
        channel.send(outcome(number, body))
        slots.read_all(slots.lives.children[child])
        came = children.outcomes[-1]
        assert (came.quote, came.publish[0].body) == (None, body)
        send(slots, held(number + 1, message=came.publish[0]))

    assert seen == [first, second]
    assert len(packets.receive(end, packets.DONT_WAIT)) < 1_000


async def answered(children: Children) -> tuple[Slots, int, Channel]:
    """Have a child run the first step and answer what follows; return its slots, its number and its channel."""
    first, second, _ = bodies()
    slots = await started(children, 1)
    [(child, end)] = children.ends.items()
    channel = Channel(end)
    send(slots, held(1, message=message(first)))
    channel.receive(packets.DONT_WAIT)
    channel.send(outcome(1, second))
    slots.read_all(slots.lives.children[child])
    return slots, child, channel


async def test_a_child_that_has_something_else_meanwhile_is_sent_all_of_it(children: Children):
    _, second, _ = bodies()
    slots, child, channel = await answered(children)
    follower = children.outcomes[-1].publish[0]

    send(slots, held(2))
    channel.receive(packets.DONT_WAIT)
    channel.send(Outcome(2, "SUCCESS", None, 0, 0.0))
    slots.read_all(slots.lives.children[child])
    send(slots, held(3, message=follower))

    run = decode_run(packets.receive(children.ends[child], packets.DONT_WAIT))
    assert (run.was_answered, run.message.body) == (False, second)


async def test_a_packet_that_is_taken_back_is_sent_to_others_whole(children: Children):
    _, second, _ = bodies()
    slots, child, _ = await answered(children)
    send(slots, held(2, message=children.outcomes[-1].publish[0]))

    assert slots.take_back(slots.lives.children[child])
    slots.dispatch()

    run = decode_run(packets.receive(children.ends[child], packets.DONT_WAIT))
    assert (run.number, run.was_answered, run.message.body) == (2, False, second)


async def test_a_child_that_tells_what_is_not_there_is_killed(children: Children):
    slots = await started(children, 1)
    [(child, end)] = children.ends.items()
    send(slots, held(1))
    packets.receive(end, packets.DONT_WAIT)
    broken = Outcome(1, "SUCCESS", None, 0, 0.0, (message(b""),), quote=Quote(b"", 0, 1_000, b""))

    packets.send(end, encode(broken))
    slots.read_all(slots.lives.children[child])

    assert [number for _, number, _ in children.killed] == [KILLED]
    assert children.outcomes == []
    assert list(slots.lives.children[child].sent) == [1], "it is seen to when the child has died"
