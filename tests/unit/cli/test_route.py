from __future__ import annotations

from celeriac import Exchange, Queue


def test_the_rules_that_are_tried_and_the_decision_are_shown(command, shop):
    shop.app.conf.task_routes = [{"mail.*": "mail"}, {"shop.*": {"queue": "goods", "priority": 3}}, {"*": "never"}]

    run = command("route", "explain", "shop.pay")

    assert run.code == 0
    assert run.out.splitlines() == [
        "task         shop.pay",
        "rule 1       'mail.*': -",
        "rule 2       'shop.*': {'queue': 'goods', 'priority': 3}",
        "queues       goods",
        "priority     3",
        "note         a worker without -Q does not work on goods",
    ]


def test_a_call_can_be_described_for_routers_that_look_at_it(command, shop):
    def by_country(name, args, kwargs, options, task=None):
        return {"queue": f"{kwargs['country']}-{options.get('priority')}"} if kwargs else None

    shop.app.conf.task_routes = by_country

    with_country = command("route", "explain", "shop.pay", "-k", '{"country": "ch"}', "--priority", "4", "--json")
    without = command("route", "explain", "shop.unknown")

    assert with_country.document["queues"] == ["ch-4"]
    assert "by_country" in with_country.document["rules"][0]["rule"]
    assert "decided by   the defaults: no rule says anything" in without.out
    assert "(not registered here)" in without.out


def test_the_queues_behind_an_exchange_are_named(command, shop):
    logs = Exchange("logs", "topic")
    shop.app.conf.task_queues = [Queue("celery"), Queue("all", logs, "#"), Queue("errors", logs, "*.error")]

    document = command(
        *("route", "explain", "shop.pay", "--exchange", "logs", "--routing-key", "x.error", "--json")
    ).document
    lost = command("route", "explain", "shop.pay", "--exchange", "logs", "--routing-key", "x", "--queue", "errors")

    assert (document["exchange"], document["type"], document["queues"]) == ("logs", "topic", ["all", "errors"])
    assert "queues       all" in lost.out


def test_what_would_be_an_error_is_one(command, shop):
    shop.app.conf.update(task_create_missing_queues=False, task_routes={"shop.*": "unheard"})

    run = command("route", "explain", "shop.pay")

    assert run.code == 1
    assert "error        queue 'unheard' is not in task_queues" in run.out
