from __future__ import annotations

import pytest


@pytest.mark.parametrize("words", [("migrate", "back"), ("queue", "undelay")])
def test_where_celery_reads_no_queues_there_is_no_way_back(command, shop, words):
    shop.call()

    run = command(*words, "--yes")

    assert run.code == 1
    assert "Celery does not read the queues of sqlite:///" in run.err
    assert shop.depths() == {"celery": (1, 0, 0, 0)}


def test_moving_from_one_broker_to_another_is_not_there(command, shop):
    run = command("migrate", "redis://one", "redis://two")

    assert run.code == 2
    assert "No such command" in run.err
