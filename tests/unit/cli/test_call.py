from __future__ import annotations

import pytest

from celeriac.wire.protocol import read_request


def test_a_call_is_published_and_its_id_printed(command, shop):
    run = command("call", "shop.pay", "-a", '[1200, "USD"]', "-k", '{"note": "x"}')

    message = shop.claim().message
    request = read_request(message)
    assert run.code == 0
    assert run.out == f"{message.task_id}\n"
    assert (request.task, request.args, request.kwargs) == ("shop.pay", [1200, "USD"], {"note": "x"})


def test_json_has_the_id_and_the_task(command, shop):
    run = command("call", "shop.pay", "--json", "--task-id", "order-7")

    assert run.document == {"task_id": "order-7", "task": "shop.pay"}


def test_the_queue_and_the_priority_can_be_chosen(command, shop):
    command("call", "shop.pay", "--queue", "slow", "--priority", "7")

    message = shop.claim("slow").message
    assert message.priority == 7


def test_a_countdown_delays_the_call(command, shop):
    command("call", "shop.pay", "--countdown", "60")

    assert shop.depths() == {"celery": (0, 1, 0, 0)}


def test_an_eta_delays_the_call_until_that_time(command, shop):
    command("call", "shop.pay", "--eta", "2999-01-01T00:00:00Z")

    assert shop.depths() == {"celery": (0, 1, 0, 0)}


@pytest.mark.parametrize("expires", ["3600", "2999-01-01T00:00:00+00:00"])
def test_a_call_can_expire_in_seconds_or_at_a_time(command, shop, expires):
    command("call", "shop.pay", "--expires", expires)

    assert read_request(shop.claim().message).expires is not None


def test_a_misspelled_task_is_sent_with_a_warning(command, shop):
    run = command("call", "shop.pya")

    assert run.code == 0
    assert "no task 'shop.pya'; did you mean 'shop.pay'?" in run.err
    assert shop.depths() == {"celery": (1, 0, 0, 0)}


def test_nothing_is_said_of_unknown_tasks_while_modules_of_the_app_are_not_imported(command, shop):
    shop.app.conf.update(include=["somewhere.else"])

    assert "no task" not in command("call", "elsewhere.task").err


@pytest.mark.parametrize(
    ("args", "complaint"),
    [
        (["-a", "[1"], "'[1' is not JSON"),
        (["-a", "7"], "a JSON array is needed"),
        (["-k", "[]"], "a JSON object is needed"),
        (["--eta", "tomorrow"], "an ISO 8601 time is needed"),
        (["--countdown", "-1"], "a number of seconds >= 0 is needed"),
        (["--countdown", "1", "--eta", "2999-01-01"], "exclude each other"),
        (["--priority", "256"], "256 is not in the range"),
        (["--queue", ""], "a text that is not empty is needed"),
        (["--task-id", ""], "a text that is not empty is needed"),
        (["--serializer", "pickle"], "'pickle' is not 'json'"),
    ],
)
def test_what_cannot_be_read_is_a_usage_error_and_nothing_is_sent(command, shop, args, complaint):
    run = command("call", "shop.pay", *args)

    assert run.code == 2
    assert complaint in run.err
    assert shop.depths() == {}
