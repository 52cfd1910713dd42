from __future__ import annotations


def test_every_queue_that_holds_something_is_counted(command, shop):
    shop.kill(queue="mail")
    shop.call()
    shop.claim()
    shop.call()
    command("call", "shop.pay", "--countdown", "60")

    run = command("queue", "list")

    assert run.out == "queue\tready\tdelayed\tclaimed\tdead\ncelery\t1\t1\t1\t0\nmail\t0\t0\t0\t1\n"


def test_json_has_one_object_for_each_queue(command, shop):
    shop.call()

    run = command("queue", "list", "--json")

    assert run.document == [{"queue": "celery", "ready": 1, "delayed": 0, "claimed": 0, "dead": 0}]


def test_named_queues_are_counted_even_when_they_are_empty(command, shop):
    shop.call()

    run = command("queue", "list", "-Q", "other", "--json")

    assert run.document == [{"queue": "other", "ready": 0, "delayed": 0, "claimed": 0, "dead": 0}]


def test_empty_queues_are_an_empty_list_and_a_word_about_it(command, shop):
    run = command("queue", "list", "--json")

    assert run.document == []
    assert "All queues are empty." in run.err


def test_the_queue_of_chords_is_explained(command, shop):
    shop.call(queue="celeriac:joins")

    run = command("queue", "list")

    assert run.out.splitlines()[1] == "celeriac:joins\t1\t0\t0\t0"
    assert "chords whose members have all ended" in run.err
    assert "1 ready, 0 delayed, 0 claimed, 0 dead; of these 1 in celeriac:joins" in command("doctor").out
