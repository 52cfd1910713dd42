from __future__ import annotations

import pytest

from celeriac.app.context import Context, entered
from celeriac.app.joining import allow_join_result, assert_will_not_block, denied_join_result, task_join_will_block

RUN = Context(id="run-1", task="shop.pay", called_directly=False)


def test_waiting_is_allowed_outside_of_tasks():
    assert not task_join_will_block()
    assert_will_not_block()


def test_waiting_is_refused_in_a_run_of_a_worker():
    with entered(RUN):
        assert task_join_will_block()
        with pytest.raises(RuntimeError, match=r"'shop\.pay' \(id run-1\) waits for result run-2"):
            assert_will_not_block("run-2")


def test_waiting_is_allowed_in_a_task_that_is_applied_in_a_program():
    with entered(Context(id="run-1", task="shop.pay", called_directly=False, is_eager=True)):
        assert not task_join_will_block()


def test_waiting_is_refused_in_a_task_that_is_applied_in_a_run_of_a_worker():
    with entered(RUN), entered(Context(id="run-2", task="shop.pay", called_directly=False, is_eager=True)):
        assert task_join_will_block()


def test_it_can_be_allowed_for_a_while():
    with entered(RUN):
        with allow_join_result():
            assert_will_not_block()
            with denied_join_result():
                assert task_join_will_block()
            assert not task_join_will_block()
        assert task_join_will_block()


def test_it_can_be_denied_for_a_while():
    with denied_join_result(), pytest.raises(RuntimeError, match="denied here, by `denied_join_result`"):
        assert_will_not_block()

    assert not task_join_will_block()


def test_what_was_said_ends_with_an_error_too():
    with pytest.raises(KeyError), denied_join_result():
        raise KeyError

    assert not task_join_will_block()
