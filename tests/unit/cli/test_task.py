from __future__ import annotations

import pytest


def revoked(shop):
    return {one.task_id: one for one in shop.app.broker.revocations().revocations}


# -- tasks ----------------------------------------------------------------------------------------------------------


def test_tasks_are_listed_with_their_queues(command, shop):
    shop.app.conf.update(task_routes={"shop.remind": "mail"})

    document = command("task", "list", "--json").document

    assert [(row["task"], row["queue"]) for row in document] == [("shop.pay", "celery"), ("shop.remind", "mail")]


def test_a_list_of_tasks_is_one_line_for_each(command, shop):
    @shop.app.task(name="shop.ship")
    def ship():
        """Send it.

        More about that.
        """

    run = command("task", "list")

    assert run.out.splitlines() == [
        "task\tqueue\tabout",
        "shop.pay\tcelery\t-",
        "shop.remind\tcelery\t-",
        "shop.ship\tcelery\tSend it.",
    ]


def test_a_task_is_shown_with_what_was_said_of_it(command, shop):
    @shop.app.task(name="shop.ship", autoretry_for=(ValueError,), acks_late=False, unique_for=60, unique_key="{order}")
    def ship(order):
        """Send it."""

    document = command("task", "show", "shop.ship", "--json").document
    lines = dict(line.split(None, 1) for line in command("task", "show", "shop.ship").out.splitlines())

    assert document["options"]["autoretry_for"] == ["ValueError"]
    assert document["options"]["unique_for"] == 60
    assert "acks_late" not in document["options"]
    assert (lines["task"], lines["about"], lines["unique_key"]) == ("shop.ship", "Send it.", "{order}")
    assert "options" not in lines


# -- runs -----------------------------------------------------------------------------------------------------------


def test_a_run_that_has_ended_is_shown_with_its_record(command, shop):
    shop.succeed("id-1", [1, 2])

    document = command("task", "show", "id-1", "--json").document

    assert document == {"task_id": "id-1", "state": "SUCCESS", "result": [1, 2], "held_by_a_worker": False}


def test_a_run_that_failed_is_shown_with_its_exception(command, shop):
    shop.fail("id-1", ValueError("no"), "Traceback ...")

    out = command("task", "show", "id-1").out

    assert "ValueError: no" in out
    assert "Traceback ..." in out


def test_a_run_that_a_worker_holds_is_shown(command, shop):
    task_id = shop.call(1)
    shop.claim()

    document = command("task", "show", task_id, "--json").document

    assert document == {"task_id": task_id, "state": "PENDING", "held_by_a_worker": True}


def test_a_revoked_run_is_shown_with_who_and_why(command, shop):
    shop.app.control.cancel("id-1", "late", 2.5, by="ann")

    document = command("task", "show", "id-1", "--json").document

    assert document["state"] == "REVOKED"
    assert document["exception"] == "TaskCancelled: cancelled by ann: late"
    told = document["revoked"]
    assert (told["reason"], told["by"], told["cancel"], told["grace"]) == ("late", "ann", True, 2.5)


def test_what_nobody_knows_is_an_error(command, shop):
    run = command("task", "show", "shop.pax")

    assert run.code == 1
    assert "nothing is known of 'shop.pax'" in run.err


# -- ending runs ----------------------------------------------------------------------------------------------------


def test_runs_are_revoked(command, shop):
    waiting = shop.call(1)

    run = command("task", "revoke", waiting, "id-2", waiting, "--yes")

    assert (run.code, run.out.split()) == (0, [waiting, "id-2"])
    assert "2 runs were revoked: not known here, and kept from beginning should it wait in a queue." in run.err
    assert set(revoked(shop)) == {waiting, "id-2"}
    assert shop.app.AsyncResult(waiting).state == "REVOKED"


def test_what_is_known_of_a_run_that_is_revoked_is_said(command, shop):
    command("task", "revoke", "id-1", "--yes")

    run = command("task", "revoke", "id-1", "id-2", "--yes")

    assert "2 runs were revoked: 1 had ended before, 1 not known here, and kept from beginning" in run.err


def test_runs_are_terminated_by_any_signal(command, shop):
    command("task", "revoke", "id-1", "--terminate", "--signal", "kill", "--reason", "stuck", "-y")

    kept = revoked(shop)["id-1"]
    assert (kept.terminate, kept.signal, kept.reason) == (True, "SIGKILL", "stuck")


def test_runs_are_cancelled(command, shop):
    run = command("task", "cancel", "id-1", "--reason", "late", "--grace", "3", "--yes", "--json")

    assert run.document == {"cancelled": ["id-1"]}
    kept = revoked(shop)["id-1"]
    assert (kept.cancel, kept.reason, kept.grace) == (True, "late", 3.0)


@pytest.mark.parametrize(("answer", "code", "count"), [("y\n", 0, 1), ("n\n", 1, 0), ("\n", 1, 0)])
@pytest.mark.parametrize("name", ["revoke", "cancel"])
def test_somebody_is_asked_first(command, shop, name, answer, code, count):
    run = command("task", name, "id-1", answer=answer)

    assert "1 run?" in run.err
    assert (run.code, len(revoked(shop))) == (code, count)


def test_the_question_says_what_terminating_does(command, shop):
    assert "Terminate, by SIGTERM, 2 runs?" in command("task", "revoke", "a", "b", "--terminate", answer="n\n").err


@pytest.mark.parametrize("name", ["revoke", "cancel"])
def test_a_dry_run_does_nothing(command, shop, name):
    run = command("task", name, "id-1", "--dry-run", "--json")

    assert run.code == 0
    assert list(run.document.values()) == [["id-1"]]
    assert revoked(shop) == {}


@pytest.mark.parametrize(
    "args", [["revoke"], ["revoke", ""], ["revoke", "a", "--signal", "SIGNO"], ["cancel", "a", "--grace", "x"]]
)
def test_wrong_usage_says_what_is_needed(command, shop, args):
    assert command("task", *args).code == 2
    assert revoked(shop) == {}
