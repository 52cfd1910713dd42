from __future__ import annotations

import threading

import pytest


def test_the_value_of_a_finished_run_is_printed(command, shop):
    shop.succeed("t1", {"paid": 12})

    run = command("result", "t1")

    assert (run.code, run.out) == (0, "{'paid': 12}\n")


def test_json_has_the_state_and_the_value(command, shop):
    shop.succeed("t1", [1, None])

    run = command("result", "t1", "--json")

    assert run.document == {
        "task_id": "t1",
        "state": "SUCCESS",
        "result": [1, None],
        "exception": None,
        "traceback": None,
    }


EXTENDED = {"name": "shop.pay", "args": [1], "kwargs": {"to": "x"}, "worker": "w1@h", "retries": 0, "queue": "pay"}
SENT = [[["t2", None], None], [["t3", None], None]]


def test_what_else_a_record_tells_is_talk(command, shop):
    shop.succeed("t1", 5, extended=EXTENDED, children=SENT, date_done="2024-05-01T12:00:00+00:00")

    run = command("result", "t1")

    assert (run.code, run.out) == (0, "5\n")
    assert run.err.splitlines()[1:] == [
        "name: shop.pay",
        "args: [1]",
        "kwargs: {'to': 'x'}",
        "worker: w1@h",
        "queue: pay",
        "retries: 0",
        "date_done: 2024-05-01T12:00:00+00:00",
        "children: t2, t3",
    ]


def test_a_run_that_has_sent_a_group_can_be_shown(command, shop):
    shop.succeed("t1", 5, children=[[["g1", None], [[["t2", None], None]]]])

    run = command("result", "t1", "--json")

    assert (run.code, run.document["result"], run.document["children"]) == (0, 5, ["g1"])


def test_json_has_what_else_a_record_tells(command, shop):
    shop.succeed("t1", 5, extended=EXTENDED, children=SENT, date_done="2024-05-01T12:00:00+00:00")

    run = command("result", "t1", "--json")

    more = {**EXTENDED, "date_done": "2024-05-01T12:00:00+00:00", "children": ["t2", "t3"]}
    assert run.document.items() >= more.items()


def test_a_failed_run_ends_with_1_and_its_traceback_is_talk(command, shop):
    shop.fail("t1", ValueError("no money"), "Traceback ...\nValueError: no money\n")

    run = command("result", "t1")

    assert (run.code, run.out) == (1, "")
    assert "Task t1 ended in FAILURE." in run.err
    assert "ValueError: no money" in run.err


def test_the_traceback_is_data_when_it_is_asked_for(command, shop):
    shop.fail("t1", ValueError("no money"), "Traceback ...\nValueError: no money\n")

    run = command("result", "t1", "--traceback")

    assert (run.code, run.out) == (1, "Traceback ...\nValueError: no money\n")


def test_a_finished_run_has_no_traceback_to_print(command, shop):
    shop.succeed("t1", 3)

    run = command("result", "t1", "--traceback")

    assert (run.code, run.out) == (0, "")


def test_json_has_the_exception_of_a_failed_run(command, shop):
    shop.fail("t1", ValueError("no money"), "Traceback ...")

    run = command("result", "t1", "--json")

    assert run.code == 1
    assert run.document["result"] is None
    assert run.document["exception"] == "ValueError: no money"
    assert run.document["traceback"] == "Traceback ..."


@pytest.mark.parametrize("timeout", ["0", "0.01"])
def test_a_run_that_has_not_ended_by_the_timeout_ends_with_75(command, shop, timeout):
    run = command("result", "t1", "--timeout", timeout)

    assert (run.code, run.out) == (75, "")
    assert "task t1 was still PENDING" in run.err


def test_without_a_timeout_it_waits_until_the_run_has_ended(command, shop):
    threading.Timer(0.3, shop.succeed, ("t1", "done")).start()

    run = command("result", "t1")

    assert (run.code, run.out) == (0, "done\n")
    assert "t1 is PENDING; waiting" in run.err


def test_a_task_can_be_named_as_for_celery(command, shop):
    shop.succeed("t1", 3)

    assert command("result", "-t", "shop.pay", "t1").out == "3\n"


def test_an_unknown_task_is_named(command, shop):
    run = command("result", "-t", "shop.pya", "t1")

    assert run.code == 1
    assert "'shop.pya' is not registered" in run.err


def test_an_app_that_keeps_no_results_says_which_setting_adds_them(command, shop):
    run = command("result", "t1", "--result-backend", "disabled://")

    assert run.code == 1
    assert "result_backend" in run.err
