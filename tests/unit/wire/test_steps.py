"""Steps that a message carries are a list, of which only what somebody looks at is read."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import date

import msgspec
import pytest

from celeriac.exceptions import DecodeError, EncodeError
from celeriac.wire.bodies import Body, Embed, read_body, write_body, write_body_with
from celeriac.wire.limits import DEFAULT_LIMITS
from celeriac.wire.serializers import writer_named
from celeriac.wire.steps import Steps

DEPTH = DEFAULT_LIMITS.max_depth


def step(name: str, *args: object, kind: str | None = None) -> dict[str, object]:
    return {"task": name, "args": list(args), "kwargs": {}, "options": {}, "subtask_type": kind, "immutable": False}


CHAIN = [step("third"), step("second", 1, "é\u2028", 2.50), step("first", {"a": [None, True]})]


def carried(chain: list[dict[str, object]]) -> Steps:
    body = read_body(json.dumps([[1], {}, {"chain": chain}]).encode(), max_depth=DEPTH)
    assert isinstance(body, Body)
    assert body.embed is not None
    assert isinstance(body.embed.chain, Steps)
    return body.embed.chain


def test_what_was_carried_is_written_as_it_came():
    chain = b'[{"task":"a","x":1.50}, {"task": "b"}]'
    odd = b'[[1], {}, {"callbacks": null, "errbacks": null, "chain": %b, "chord": null}]' % chain
    body = read_body(odd, max_depth=DEPTH)
    assert isinstance(body, Body)
    assert body.embed is not None
    assert body.embed.chain is not None

    assert write_body(body.args, body.kwargs, body.embed, max_depth=DEPTH) == odd
    assert body.embed.chain[0] == {"task": "a", "x": 1.5}


def test_steps_are_the_list_that_they_say():
    steps = carried(CHAIN)

    assert steps == CHAIN
    assert (len(steps), steps[-1], steps[:2], [*steps]) == (3, CHAIN[-1], CHAIN[:2], CHAIN)
    assert pickle.loads(pickle.dumps(steps)) == copy.copy(steps) == copy.deepcopy(steps) == CHAIN
    assert repr(steps) == repr(CHAIN)
    assert json.loads(msgspec.json.encode(steps.__json__())) == CHAIN


def test_the_last_step_leaves_the_others_behind():
    steps = carried(CHAIN)

    others, last = steps.without_last()

    assert list(others) == CHAIN[:2]
    assert last == CHAIN[2]
    assert len(steps) == 3


def test_steps_may_be_changed_before_they_are_sent():
    steps = carried(CHAIN)
    steps.pop()
    steps.append(step("new"))
    steps[0]["args"] = [7]
    steps.insert(0, step("last of all"))

    written = write_body([], {}, Embed(chain=steps), max_depth=DEPTH)

    wanted = [step("last of all"), step("third", 7), CHAIN[1], step("new")]
    assert json.loads(written)[2]["chain"] == wanted
    steps[1]["args"] = [object()]
    with pytest.raises(EncodeError, match=r"^embed\['chain'\]\[1\]\['args'\]\[0\] cannot be written"):
        write_body([], {}, Embed(chain=steps), max_depth=DEPTH)


@pytest.mark.parametrize("serializer", ["pickle", "yaml", "msgpack"])
def test_other_serializers_write_lists(serializer: str):
    codec = writer_named(serializer)

    written = write_body_with(codec, [], {}, Embed(chain=carried(CHAIN)), max_depth=DEPTH)

    assert codec.loads(written, name="body", max_depth=DEPTH)[2]["chain"] == CHAIN


def test_whether_they_are_signatures_is_told_without_reading_them():
    assert carried(CHAIN).are_signatures(())
    assert carried([step("a", kind="group"), step("b")]).are_signatures({"group"})
    assert not carried([step("a", kind="group"), step("b")]).are_signatures({"chord"})
    assert not carried([{"task": 1}]).are_signatures(())
    assert not Steps([{"task": object()}]).are_signatures(())


def test_a_step_that_cannot_be_read_is_told_when_it_is_looked_at():
    broken = Steps([msgspec.Raw(b'{"task": "a", "args": ["\\ud8"]}')])

    with pytest.raises(DecodeError, match="a step of a chain"):
        broken[0]


def test_what_is_left_of_a_chain_is_written_as_it_came_step_by_step():
    steps = carried(CHAIN)

    for left in (CHAIN[:2], CHAIN[:1], []):
        steps, _ = steps.without_last()

        written = write_body([], {}, Embed(chain=steps), max_depth=DEPTH)

        embed = {"callbacks": None, "errbacks": None, "chain": left, "chord": None}
        assert written == json.dumps([[], {}, embed]).encode()


def test_what_is_left_of_a_chain_may_be_changed():
    steps, _ = carried(CHAIN).without_last()
    assert steps.are_signatures(())

    steps[1]["args"] = [7]
    steps.append({"task": 1})

    written = write_body([], {}, Embed(chain=steps), max_depth=DEPTH)
    assert json.loads(written)[2]["chain"] == [CHAIN[0], {**CHAIN[1], "args": [7]}, {"task": 1}]
    assert not steps.are_signatures(())


LONG = [step(f"step {number}", "x" * 100) for number in range(60)]


def test_a_body_that_was_written_here_reads_as_anywhere_else():
    others, _ = carried(LONG).without_last()
    link = [step("called back")]
    tagged = {"__type__": "date", "__value__": "2026-02-03"}
    written = write_body([tagged, "é"], {"a": 1}, Embed(chain=others, callbacks=link), max_depth=DEPTH)
    assert read_of(written) == ([date(2026, 2, 3), "é"], {"a": 1}, link, LONG[:-1])
    again = write_body([1], {}, Embed(chain=others, errbacks=link), max_depth=DEPTH)
    body = read_body(again, max_depth=DEPTH)
    assert isinstance(body, Body)
    assert body.embed is not None
    assert (body.args, body.kwargs, body.embed.callbacks, body.embed.errbacks) == ([1], {}, None, link)
    assert body.embed.chain is not None

    body.embed.chain[0]["args"] = ["changed by who has read it"]
    others[0]["args"] = ["changed by who has written it"]

    assert read_of(again) == ([1], {}, None, LONG[:-1])
    assert read_of(write_body([2], {}, Embed(chain=others), max_depth=DEPTH))[3][0] == others[0]


def read_of(written: bytes) -> tuple[object, object, object, list[object]]:
    body = read_body(written, max_depth=DEPTH)
    assert isinstance(body, Body)
    assert body.embed is not None
    assert body.embed.chain is not None
    return body.args, body.kwargs, body.embed.callbacks, [*body.embed.chain]
