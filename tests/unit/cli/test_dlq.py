from __future__ import annotations

import pytest

from celeriac.message import Message


@pytest.fixture
def dead(shop):
    """Three dead letters, the oldest first, as task ids by number."""
    ids = [shop.kill(1), shop.kill(2, queue="mail", reason="died\ttwice\nover"), shop.kill(3)]
    letters = shop.app.broker.dead_letters()
    assert [letter.task_id for letter in reversed(letters)] == ids
    return {letter.number: letter.task_id for letter in reversed(letters)}


def waiting(shop):
    return sum(ready for ready, _, _, _ in shop.depths().values())


def left(shop):
    return {letter.number for letter in shop.app.broker.dead_letters()}


def test_dead_letters_are_listed_the_newest_first(command, dead):
    run = command("dlq", "list", "--json")

    assert [row["number"] for row in run.document] == sorted(dead, reverse=True)
    assert run.document[0]["task"] == "shop.pay"
    assert run.document[0]["reason"] == "died of a test"


def test_a_listing_keeps_to_one_line_for_each(command, dead):
    run = command("dlq", "list", "-Q", "mail")

    (_, line) = run.out.splitlines()
    assert line.split("\t")[-1] == r"died\ttwice\nover"


def test_a_listing_cut_short_says_so(command, dead):
    run = command("dlq", "list", "--limit", "2")

    assert len(run.out.splitlines()) == 3
    assert "There may be more than 2" in run.err


def test_no_dead_letters_are_said_in_a_word(command, shop):
    assert "There are no dead letters." in command("dlq", "list").err


def test_one_is_shown_with_its_headers_arguments_and_reason(command, shop, dead):
    number, task_id = next(iter(dead.items()))

    document = command("dlq", "show", str(number), "--json").document

    assert document["task_id"] == task_id
    assert document["headers"]["task"] == "shop.pay"
    assert (document["args"], document["kwargs"]) == ([1], {})
    assert document["reason"] == "died of a test"


def test_for_people_long_arguments_are_cut_short(command, shop):
    shop.kill("x" * 100_000)
    (letter,) = shop.app.broker.dead_letters()

    run = command("dlq", "show", str(letter.number))

    assert "args         ['xxx" in run.out
    assert len(run.out) < 10_000


def test_arguments_that_are_sensitive_are_not_shown(command, shop):
    shop.app.send_task("shop.pay", ("4111",), argsrepr="('<hidden>',)")
    shop.settle(reason="died of a test")
    (number,) = left(shop)

    run = command("dlq", "show", str(number), "--json")

    assert (run.document["args"], run.document["kwargs"]) == ("('<hidden>',)", "{}")
    assert "4111" not in run.out


def test_what_cannot_be_decoded_is_shown_with_the_fault(command, shop):
    message = Message(task_id="t9", queue="celery", headers=b'{"task": "shop.pay", "id": "t9"}', body=b"\xff{")
    shop.app.broker.publish([message], deadline_at=float("inf"))
    shop.settle(reason="cannot be decoded")
    (letter,) = shop.app.broker.dead_letters()

    run = command("dlq", "show", str(letter.number))

    assert run.code == 0
    assert "fault" in run.out
    assert "ff7b" in run.out or r"\xff{" in run.out


def test_replay_by_number_does_not_ask(command, shop, dead):
    number, task_id = next(iter(dead.items()))

    run = command("dlq", "replay", str(number))

    assert (run.code, run.out) == (0, f"{task_id}\n")
    assert shop.claim().message.task_id == task_id
    assert number not in left(shop)


def test_replay_of_all_asks(command, shop, dead):
    run = command("dlq", "replay", "--all", answer="yes\n")

    assert "Replay 3 dead letters? [y/N]" in run.err
    assert run.out.split() == list(dead.values())
    assert (waiting(shop), left(shop)) == (3, set())


def test_replay_of_one_queue_leaves_the_others(command, shop, dead):
    run = command("dlq", "replay", "-Q", "mail", "--yes", "--json")

    assert len(run.document["replayed"]) == 1
    assert len(left(shop)) == 2


def test_discard_asks_even_for_one(command, shop, dead):
    number = next(iter(dead))

    run = command("dlq", "discard", str(number), answer="n\n")

    assert run.code == 1
    assert "Discard 1 dead letter for good?" in run.err
    assert left(shop) == set(dead)


def test_discard_deletes_and_names_what_it_deleted(command, shop, dead):
    run = command("dlq", "discard", "--all", "--yes")

    assert set(run.out.split()) == set(dead.values())
    assert (waiting(shop), left(shop)) == (0, set())


@pytest.mark.parametrize("what", ["replay", "discard"])
def test_a_dry_run_changes_nothing(command, shop, dead, what):
    run = command("dlq", what, "--all", "--dry-run", "--json")

    assert set(run.document[f"would_{what}"]) == set(dead.values())
    assert left(shop) == set(dead)


@pytest.mark.parametrize("how", [[], ["--all", "-Q", "mail"], ["1", "--all"]])
def test_letters_must_be_named_in_one_way(command, shop, dead, how):
    run = command("dlq", "replay", *how)

    assert run.code == 2
    assert "by their numbers, or with --queue NAME, or with --all" in run.err


@pytest.mark.parametrize("what", ["show", "replay", "discard"])
def test_a_number_that_names_none_changes_nothing(command, shop, dead, what):
    numbers = ["999"] if what == "show" else [*map(str, dead), "999"]

    run = command("dlq", what, *numbers)

    assert run.code == 1
    assert "no dead letter 999" in run.err
    assert left(shop) == set(dead)


@pytest.mark.parametrize("what", ["show", "replay", "discard"])
def test_a_number_that_no_letter_can_have_is_a_usage_error(command, shop, what):
    run = command("dlq", what, "99999999999999999999")

    assert run.code == 2
    assert "is not in the range" in run.err


def test_replay_of_none_is_done_without_a_question(command, shop):
    run = command("dlq", "replay", "--all")

    assert (run.code, run.out) == (0, "")
