from __future__ import annotations

import signal

import pytest

from celeriac.worker.early_signals import EarlySignals, Stopped


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_signal_to_stop_is_raised_and_a_second_one_does_not_get_in_the_way(number):
    with EarlySignals() as early:
        with pytest.raises(Stopped, match=signal.Signals(number).name):
            signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)

    assert early.told == signal.Signals(number).name


def test_what_imported_code_has_swallowed_is_raised_when_that_is_over():
    with EarlySignals() as early:
        try:
            signal.raise_signal(signal.SIGTERM)
        except BaseException:  # noqa: BLE001 - as careless modules do
            assert early.told == "SIGTERM"

        with pytest.raises(Stopped, match="SIGTERM"):
            early.check()


def test_what_a_forked_process_has_noted_is_raised_when_it_is_ready_for_it():
    with EarlySignals() as early:
        early.only_note()
        signal.raise_signal(signal.SIGTERM)

        with pytest.raises(Stopped, match="SIGTERM"):
            early.check()


def test_nothing_is_raised_where_nothing_came_and_handlers_are_as_before():
    before = signal.getsignal(signal.SIGTERM)

    with EarlySignals() as early:
        early.check()

    assert signal.getsignal(signal.SIGTERM) is before
