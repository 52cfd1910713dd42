"""Chords over RabbitMQ, whose members another server counts: the order of two stores."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from celeriac import chain, chord, group, signature
from celeriac.canvas import Signature
from celeriac.exceptions import ChordError
from tests.integration.project import opened
from tests.integration.stores import RabbitStore, RedisStore

WITHIN = 30.0


def test_members_are_counted_and_bodies_sent_where_results_are_elsewhere(amqp_url: str, redis_url: str, tmp_path: Path):
    results = RedisStore.on(redis_url)
    store = RabbitStore(amqp_url, results=results.urls["backend"])
    with contextlib.closing(results), contextlib.closing(store), opened(tmp_path, store) as project:
        project.start()

        def call(name: str, *args: object) -> Signature[Any]:
            return signature(f"tasks.{name}", args=args, app=project.app)

        pair = [call("add", 1, 1), call("add", 2, 2)]
        sent = [
            chord(pair, call("echo")).delay(),
            chain(call("add", 1, 1), group(call("add", 1), call("add", 2)), call("echo"), call("size_of")).delay(),
            chord([chord(pair, call("size_of")), *pair], call("echo")).delay(),
        ]
        failed = chord([*pair, call("fail", "no")], call("echo")).delay()

        assert [each.get(timeout=WITHIN) for each in sent] == [[2, 4], 2, [2, 2, 4]]
        with pytest.raises(ChordError, match="raised ValueError"):
            failed.get(timeout=WITHIN)
