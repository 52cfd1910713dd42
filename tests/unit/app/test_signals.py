from __future__ import annotations

import functools
import gc
import logging
import sys
import threading
import weakref

import pytest

from celeriac.app import signals
from celeriac.app.current import Proxy
from celeriac.app.signals import Signal


@pytest.fixture
def signal():
    return Signal(["result"], name="done")


@pytest.fixture
def calls():
    return []


@pytest.fixture
def receiver(calls):
    def receive(**named):
        calls.append(named)
        return len(calls)

    return receive


class Listener:
    def __init__(self):
        self.heard = []

    def hear(self, sender=None, **named):
        self.heard.append(sender)

    def __eq__(self, other):
        return isinstance(other, Listener)

    __hash__ = object.__hash__


def test_a_receiver_is_told_the_signal_the_sender_and_what_it_provides(signal, receiver, calls):
    signal.connect(receiver)

    responses = signal.send("me", result=5)

    assert calls == [{"signal": signal, "sender": "me", "result": 5}]
    assert responses == [(receiver, 1)]


def test_receivers_are_called_in_the_order_in_which_they_were_connected(signal):
    order = []
    receivers = [functools.partial(lambda number, **named: order.append(number), number) for number in range(5)]
    for each in receivers:
        signal.connect(each)

    signal.send(None)

    assert order == [0, 1, 2, 3, 4]


def test_connect_is_a_decorator_with_and_without_arguments(signal):
    @signal.connect
    def bare(**named):
        return "bare"

    @signal.connect()
    def called(**named):
        return "called"

    @signal.connect(sender="me")
    def of_one_sender(**named):
        return "of one sender"

    assert signal.send("me") == [(bare, "bare"), (called, "called"), (of_one_sender, "of one sender")]
    assert signal.send("you") == [(bare, "bare"), (called, "called")]


def test_options_may_be_given_by_position_as_in_celery(signal, receiver):
    signal.connect(receiver, "me", False, "uid")

    assert signal.disconnect(sender="me", dispatch_uid="uid") is True


def test_a_sender_is_told_by_identity(signal, receiver, calls):
    wanted, equal = Listener(), Listener()
    signal.connect(receiver, sender=wanted)

    signal.send(equal)
    signal.send(wanted)

    assert [call["sender"] is wanted for call in calls] == [True]


def test_a_sender_that_is_text_is_told_by_what_it_says(signal, receiver, calls):
    signal.connect(receiver, sender="shop.pay")

    signal.send("".join(["shop", ".pay"]))
    signal.send("shop.buy")

    assert len(calls) == 1


def test_a_sender_is_not_kept_alive_and_its_successor_at_the_same_address_is_not_meant(signal, receiver, calls):
    sender = Listener()
    alive = weakref.ref(sender)
    signal.connect(receiver, sender=sender)
    del sender
    gc.collect()

    signal.send(Listener())

    assert alive() is None
    assert calls == []


@pytest.mark.parametrize("connected", ["proxy", "object"])
@pytest.mark.parametrize("sent", ["proxy", "object"])
def test_a_proxy_and_what_it_stands_for_are_one_sender(signal, receiver, calls, connected, sent):
    task = Listener()
    senders = {"proxy": Proxy(lambda: task), "object": task}
    signal.connect(receiver, sender=senders[connected])

    signal.send(senders[sent])

    assert len(calls) == 1


def test_the_current_app_can_be_a_sender_before_there_is_one(signal, receiver, calls, monkeypatch):
    monkeypatch.setattr("celeriac.app.current._current", None)
    from celeriac import current_app

    signal.connect(receiver, sender=current_app)
    signal.connect(receiver, sender=current_app)

    signal.send("somebody")

    assert (len(signal.receivers), calls) == (1, [])


def test_connecting_twice_calls_once(signal, receiver, calls):
    signal.connect(receiver)
    signal.connect(receiver)

    signal.send(None)

    assert len(calls) == 1


def test_one_receiver_may_be_connected_to_several_senders(signal, receiver, calls):
    signal.connect(receiver, sender="one")
    signal.connect(receiver, sender="two")

    for sender in ("one", "two", "three"):
        signal.send(sender)

    assert [call["sender"] for call in calls] == ["one", "two"]


def test_a_dispatch_uid_stands_for_the_receiver(signal):
    def first(**named):
        return "first"

    def second(**named):
        return "second"

    signal.connect(first, dispatch_uid="only one")
    signal.connect(second, dispatch_uid="only one")

    assert [response for _, response in signal.send(None)] == ["first"]
    assert signal.disconnect(second) is False
    assert signal.disconnect(dispatch_uid="only one") is True
    assert signal.receivers == []


def test_methods_of_equal_instances_are_told_apart(signal):
    one, other = Listener(), Listener()
    signal.connect(one.hear)
    signal.connect(other.hear)

    signal.send("first")
    assert signal.disconnect(one.hear) is True
    signal.send("second")

    assert (one.heard, other.heard) == (["first"], ["first", "second"])


def test_a_method_lives_as_long_as_its_instance(signal):
    one = Listener()
    signal.connect(one.hear)
    assert signal.has_listeners()

    del one
    gc.collect()

    assert not signal.has_listeners()
    assert signal.send(None) == []
    assert signal.receivers == []


def test_a_receiver_is_not_kept_alive_unless_asked_for(signal):
    signal.connect(lambda **named: "gone")
    signal.connect(lambda **named: "kept", weak=False)
    gc.collect()

    assert [response for _, response in signal.send(None)] == ["kept"]


def test_what_cannot_be_referred_to_weakly_says_so(signal):
    class Slotted:
        __slots__ = ()

        def __call__(self, **named):
            return "called"

    with pytest.raises(TypeError, match="weak=False"):
        signal.connect(Slotted())

    signal.connect(Slotted(), weak=False)
    assert [response for _, response in signal.send(None)] == ["called"]


def test_disconnecting_tells_whether_there_was_anything(signal, receiver):
    signal.connect(receiver, sender="me")

    assert signal.disconnect(receiver) is False
    assert signal.disconnect(receiver, sender="me") is True
    assert signal.disconnect(receiver, sender="me") is False


def test_an_error_is_logged_and_returned_and_the_others_are_called(signal, receiver, caplog):
    def broken(**named):
        raise KeyError("no such order")

    signal.connect(broken)
    signal.connect(receiver)

    with caplog.at_level(logging.ERROR, "celeriac.signals"):
        (_, error), (_, response) = signal.send(None)

    assert repr(error) == "KeyError('no such order')"
    assert response == 1
    assert "of signal done raised: KeyError('no such order')" in caplog.text
    assert "Traceback" in caplog.text


def test_what_ends_a_program_passes_through(signal):
    def leave(**named):
        raise SystemExit(3)

    signal.connect(leave)

    with pytest.raises(SystemExit):
        signal.send(None)


def test_a_receiver_with_retry_is_called_until_it_succeeds_with_growing_waits(caplog):
    waits: list[float] = []
    signal = Signal(name="done", sleep=waits.append)
    attempts = iter(range(18))

    def stubborn(**named):
        if next(attempts) < 17:
            raise ConnectionError("not yet")
        return "done"

    signal.connect(stubborn, retry=True)

    with caplog.at_level(logging.ERROR, "celeriac.signals"):
        responses = signal.send(None)

    assert responses == [(stubborn, "done")]
    assert waits == [2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 30, 30]
    assert "calling it again in 2s" in caplog.text


def test_a_receiver_with_retry_is_kept_alive_and_disconnected_as_any_other(signal):
    def receive(**named):
        return "kept"

    signal.connect(receive, retry=True)
    gc.collect()

    assert signal.send(None) == [(receive, "kept")]
    assert signal.disconnect(receive) is True


@pytest.mark.parametrize(
    "receiver", [lambda: None, lambda signal, sender: None, Listener().__eq__], ids=["nothing", "some", "method"]
)
def test_a_receiver_must_take_any_keyword_argument(signal, receiver):
    with pytest.raises(ValueError, match=r"Give it a \*\*kwargs"):
        signal.connect(receiver)


def test_a_coroutine_function_is_refused(signal):
    async def receive(**named):
        return None

    with pytest.raises(ValueError, match="nobody would await it"):
        signal.connect(receive)


def test_what_cannot_be_called_is_refused(signal):
    with pytest.raises(TypeError, match="sender=…"):
        signal.connect("shop.pay")


def test_listeners_are_asked_for_by_sender(signal, receiver):
    signal.connect(receiver, sender="me")

    assert (signal.has_listeners("me"), signal.has_listeners("you"), signal.has_listeners()) == (True, False, False)


def test_a_receiver_may_disconnect_and_connect_while_it_is_called(signal, receiver, calls):
    def once(**named):
        signal.disconnect(once)
        signal.connect(receiver)

    signal.connect(once)

    assert len(signal.send(None)) == 1
    assert signal.send(None) == [(receiver, 1)]


def test_connecting_from_many_threads_loses_nobody(signal):
    receivers = [Listener() for _ in range(400)]
    start = threading.Barrier(8)

    def connect(part):
        start.wait()
        for each in part:
            signal.connect(each.hear)
            signal.send(None)

    threads = [threading.Thread(target=connect, args=(receivers[index::8],)) for index in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(signal.send(None)) == 400


def test_asking_whether_anybody_receives_a_signal_calls_nothing():
    signal = Signal()
    called: list[str] = []

    sys.setprofile(lambda frame, event, argument: called.append(event))
    if signal.receivers:
        called.append("a receiver")
    sys.setprofile(None)

    assert called == ["c_call"], "that of setprofile"


def test_send_robust_is_send(signal, receiver):
    signal.connect(receiver)

    assert signal.send_robust("me", result=1) == [(receiver, 1)]


PROVIDED = {
    "before_task_publish": "body exchange routing_key headers properties declare retry_policy",
    "after_task_publish": "headers body exchange routing_key",
    "task_received": "request",
    "task_prerun": "task_id task args kwargs",
    "task_postrun": "task_id task args kwargs retval state",
    "task_success": "result runtime",
    "task_retry": "request reason einfo",
    "task_failure": "task_id exception args kwargs traceback einfo",
    "task_internal_error": "task_id args kwargs request exception traceback einfo",
    "task_revoked": "request terminated signum expired",
    "task_rejected": "message exc",
    "task_unknown": "message exc name id",
    "task_sent": "task_id task args kwargs eta taskset",
    "celeryd_init": "instance conf options",
    "celeryd_after_setup": "instance conf",
    "import_modules": "",
    "worker_init": "",
    "worker_before_create_process": "",
    "worker_process_init": "",
    "worker_process_shutdown": "pid exitcode",
    "worker_ready": "",
    "worker_shutting_down": "sig how exitcode",
    "worker_shutdown": "",
    "heartbeat_sent": "",
    "beat_init": "",
    "beat_embedded_init": "",
    "setup_logging": "loglevel logfile format colorize",
    "after_setup_logger": "logger loglevel logfile format colorize",
    "after_setup_task_logger": "logger loglevel logfile format colorize",
    "eventlet_pool_started": "",
    "eventlet_pool_preshutdown": "",
    "eventlet_pool_postshutdown": "",
    "eventlet_pool_apply": "target args kwargs",
    "user_preload_options": "app options",
}


@pytest.mark.parametrize("name", PROVIDED)
def test_every_signal_of_celery_is_there_with_its_arguments(name):
    signal = getattr(signals, name)

    assert (signal.name, signal.providing_args) == (name, frozenset(PROVIDED[name].split()))
    assert name in repr(signal)
