from __future__ import annotations

import pytest


@pytest.fixture
def busy_shop(shop):
    """Two messages in one queue, one in another, one claimed and one dead letter."""
    shop.kill(queue="mail")
    shop.call(queue="mail")
    shop.claim("mail")
    shop.call()
    shop.call()
    shop.call(queue="slow")
    return shop


def test_purge_shows_counts_and_asks(command, busy_shop):
    run = command("purge", answer="y\n")

    assert "celery: 2" in run.err
    assert "slow: 1" in run.err
    assert "Delete 3 messages from 2 queues for good? [y/N]" in run.err
    assert (run.code, run.out) == (0, "Purged 3 messages from 2 queues.\n")


def test_claimed_messages_and_dead_letters_stay(command, busy_shop):
    command("purge", "--yes")

    assert busy_shop.depths() == {"mail": (0, 0, 1, 1)}


@pytest.mark.parametrize("answer", ["n\n", "\n", "maybe\n"])
def test_any_other_answer_than_yes_deletes_nothing(command, busy_shop, answer):
    run = command("purge", answer=answer)

    assert run.code == 1
    assert "Nothing was deleted." in run.err
    assert busy_shop.depths()["celery"] == (2, 0, 0, 0)


def test_where_nobody_answers_nothing_is_deleted(command, busy_shop):
    run = command("purge")

    assert run.code == 2
    assert "add --yes" in run.err
    assert busy_shop.depths()["celery"] == (2, 0, 0, 0)


def test_a_dry_run_counts_and_deletes_nothing(command, busy_shop):
    run = command("purge", "--dry-run", "--json")

    assert run.document == {"would_purge": {"celery": 2, "slow": 1}}
    assert busy_shop.depths()["celery"] == (2, 0, 0, 0)


def test_queues_are_chosen_by_name(command, busy_shop):
    command("purge", "-f", "-Q", "slow, other")

    assert busy_shop.depths()["celery"] == (2, 0, 0, 0)
    assert "slow" not in busy_shop.depths()


def test_queues_are_left_out_by_name(command, busy_shop):
    run = command("purge", "-f", "-X", "celery", "--json")

    assert run.document == {"purged": {"slow": 1}}
    assert busy_shop.depths()["celery"] == (2, 0, 0, 0)


def test_empty_queues_are_nothing_to_ask_about(command, shop):
    run = command("purge")

    assert (run.code, run.out) == (0, "Purged 0 messages from 0 queues.\n")
