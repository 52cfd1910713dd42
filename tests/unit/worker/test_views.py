"""What people may see of a node's messages and numbers."""

from __future__ import annotations

import itertools
import pickle
from typing import Any

import pytest

from celeriac import Celery
from celeriac.brokers.base import Delivery
from celeriac.message import Message
from celeriac.wire.protocol import Intake
from celeriac.worker.dispatch import Adaptive, Durations
from celeriac.worker.held import Held, Holdings
from celeriac.worker.views import Seen, View, broker_stats

numbers = itertools.count(1)


@pytest.fixture
def app():
    app = Celery("shop", broker=f"memory://views-{next(numbers)}", set_as_current=False)
    app.task(name="shop.pay", sensitive=("card",))(lambda order, card: None)
    yield app
    app.close()


@pytest.fixture
def view(app):
    slots: Any = None
    return View(
        app,
        "w1@host",
        holdings=Holdings(),
        slots=slots,
        durations=Durations(),
        strategy=Adaptive(),
        strategy_name="adaptive",
        pool="celeriac.worker.pools.prefork:Prefork",
        prefetch_multiplier=None,
        recycling=None,
    )


def sent(app, *args: Any, **options: Any) -> Message:
    """Return the message of a call, as it waits in the broker."""
    app.send_task("shop.pay", args, countdown=60, **options)
    [message] = app.broker.delayed(["celery"])
    return message


def test_what_is_sensitive_is_not_shown(app, view):
    app.tasks["shop.pay"].apply_async(("A-17", "4111 1111"), countdown=60)
    [message] = app.broker.delayed(["celery"])

    for safe in (False, True):
        told = view.info_of(message, safe=safe)

        assert "A-17" in str(told["args"])
        assert "4111" not in repr(told)


def test_a_pickle_is_shown_as_its_sender_has_described_it(app, view, tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "opened"), "w"))

    message = Message(
        task_id="id-1",
        queue="celery",
        headers=b'{"task": "shop.pay", "id": "id-1", "argsrepr": "(\'A-17\',)", "kwargsrepr": "{}"}',
        body=pickle.dumps(((Trap(),), {}, {})),
        content_type="application/x-python-serialize",
        content_encoding="binary",
    )

    told = view.info_of(message)

    assert (told["name"], told["args"], told["kwargs"]) == ("shop.pay", "('A-17',)", "{}")
    assert not (tmp_path / "opened").exists()


@pytest.mark.parametrize("body", [b"", b"{", b"[[1]", b"[" * 1_000])
def test_a_message_that_cannot_be_read_is_shown_nevertheless(view, body):
    message = Message(task_id="id-1", queue="celery", headers=b'{"task": "shop.pay", "id": "id-1"}', body=body)

    told = view.info_of(message)

    assert (told["id"], told["type"]) == ("id-1", "shop.pay")


def test_a_shadow_is_the_name_and_the_task_the_type(app, view):
    told = view.info_of(sent(app, "A-17", "x", shadow="shop.pay(A-17)"))

    assert (told["name"], told["type"]) == ("shop.pay(A-17)", "shop.pay")


def test_what_runs_has_a_pid_and_a_begin(app, view):
    message = sent(app, "A-17", "x")
    held = Held(1, Delivery(tag=1, owner=1, message=message), Intake("shop.pay", "i", None, None, 0, None, 2), 0.0, 0.0)

    waiting, running = view.info(Seen(held)), view.info(Seen(held, 77))

    assert (waiting["time_start"], waiting["worker_pid"]) == (None, None)
    assert running["worker_pid"] == 77
    assert isinstance(running["time_start"], float)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("redis://ann:secret@cache:6379/2", ("cache", "ann", "2", 6379, False, "redis")),
        ("rediss://cache/0", ("cache", None, "0", None, True, "redis")),
        ("sqlite:////var/shop.db", (None, None, "var/shop.db", None, False, "sqlite")),
        ("redis://cache:notaport/0", ("cache", None, "0", None, False, "redis")),
    ],
)
def test_a_broker_is_described_without_its_password(url, told):
    found = broker_stats(url)

    assert tuple(found[name] for name in ("hostname", "userid", "virtual_host", "port", "ssl", "transport")) == told
    assert "secret" not in repr(found)
