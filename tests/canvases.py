"""Canvases at random, and what they come to by a naive interpreter: one call after the other, no ids, no messages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from celeriac import chain, chord, group
from celeriac.canvas.signature import Signature

# A canvas as data: (kind, parts).
CALLS = st.one_of(
    st.tuples(st.just("call"), st.integers(0, 9)),
    st.tuples(st.just("fixed"), st.integers(0, 9)),
    st.tuples(st.just("fail"), st.integers(0, 9)),
)
CALLS_THAT_WORK = st.tuples(st.sampled_from(["call", "fixed"]), st.integers(0, 9))


def trees(calls: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Give canvases of these calls, as data."""
    return st.recursive(
        calls,
        lambda inner: st.one_of(
            st.tuples(st.just("chain"), st.lists(inner, min_size=1, max_size=3)),
            st.tuples(st.just("group"), st.lists(inner, min_size=1, max_size=3)),
            st.tuples(st.just("chord"), st.tuples(st.lists(inner, min_size=1, max_size=3), inner)),
        ),
        max_leaves=8,
    )


def made(tree: Any, call: Callable[..., Signature[Any]]) -> Signature[Any]:
    """Make the canvas of a tree.

    Args:
        call: makes a signature of the task ``merge``, which returns what it gets, or ``fail``, which raises.
    """
    kind, parts = tree
    match kind:
        case "call":
            return call("merge", parts)
        case "fixed":
            return call("merge", parts, immutable=True)
        case "fail":
            return call("fail", parts)
        case "chain":
            whole: Signature[Any] = chain(*[made(each, call) for each in parts])
            return whole
        case "group":
            return group([made(each, call) for each in parts])
    header, body = parts
    return chord([made(each, call) for each in header], made(body, call))


class Failed(Exception):
    """A call that fails was reached."""


def wanted_of(canvas: Signature[Any]) -> Any:
    """Return what a canvas is to come to; `Failed` itself when it is to fail."""
    try:
        return interpret(canvas, ())
    except Failed:
        return Failed


def interpret(canvas: Any, args: tuple[Any, ...], *, follows: bool = False) -> Any:
    """Work out what a canvas comes to, by its JSON: one call after the other, no ids, no results, no messages.

    Args:
        follows: it is a step of a chain or the body of a chord, where groups are numbered as in headers.
    """
    kwargs = canvas["kwargs"]
    args = (*args, *canvas["args"])
    match canvas["subtask_type"]:
        case "chain":
            steps = _spread(kwargs["tasks"])
            value: Any = None
            for at, step in enumerate(steps):
                value = interpret(step, args if at == 0 else (value,), follows=True)
            return value
        case "group":
            members = _unrolled(kwargs["tasks"]) if follows else _members(kwargs["tasks"])
            return [interpret(each, args) for each in members]
        case "chord":
            header = kwargs["header"]
            header = header["kwargs"]["tasks"] if isinstance(header, dict) else header
            values = [interpret(each, args) for each in _unrolled(header)]
            return interpret(kwargs["body"], (values,), follows=True)
    given = list(canvas["args"]) if canvas["immutable"] else list(args)
    if canvas["task"].endswith("fail"):
        raise Failed
    return given


def _spread(steps: list[Any]) -> list[Any]:
    """Take nested chains apart; a group that something follows is a chord."""
    flat: list[Any] = []
    for step in steps:
        flat += _spread(step["kwargs"]["tasks"]) if step["subtask_type"] == "chain" else [step]
    found: list[Any] = []
    for step in flat:
        if found and found[-1]["subtask_type"] == "group":
            header = found.pop()["kwargs"]["tasks"]
            step = {"subtask_type": "chord", "args": [], "kwargs": {"header": header, "body": step}}
        found.append(step)
    return found


def _members(members: list[Any]) -> list[Any]:
    """Put the members of inner groups in the place of these."""
    found: list[Any] = []
    for one in members:
        found += _members(one["kwargs"]["tasks"]) if one["subtask_type"] == "group" else [one]
    return found


def _unrolled(members: list[Any]) -> list[Any]:
    """Do so as the header of a chord does: those of inner groups last to first."""
    found: list[Any] = []
    waiting = list(members)
    while waiting:
        one = waiting.pop(0)
        if one["subtask_type"] == "group":
            waiting[:0] = one["kwargs"]["tasks"][::-1]
        else:
            found.append(one)
    return found
