from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from celeriac.worker.stopping import Stage, Stopping

WARM, SOFT, COLD, NOW = Stage.WARM, Stage.SOFT, Stage.COLD, Stage.NOW


def stages(*signals: str, soft_timeout: float = 0.0, term_is: str | None = None) -> list[Stage]:
    stopping = Stopping(soft_timeout=soft_timeout, term_is=term_is)
    return [stopping.next(signal) for signal in signals]


@pytest.mark.parametrize("first", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("second", ["SIGTERM", "SIGINT", "SIGQUIT"])
def test_a_first_signal_is_warm_a_second_cold_a_third_ends_at_once(first, second):
    assert stages(first, second, "SIGTERM", "SIGTERM") == [WARM, COLD, NOW, NOW]


def test_sigquit_is_cold_from_the_first():
    assert stages("SIGQUIT", "SIGTERM") == [COLD, NOW]


def test_a_soft_stop_comes_before_a_cold_one():
    assert stages("SIGTERM", "SIGTERM", "SIGINT", "SIGINT", soft_timeout=5.0) == [WARM, SOFT, COLD, NOW]
    assert stages("SIGQUIT", "SIGQUIT", soft_timeout=5.0) == [SOFT, COLD]


def test_sigterm_may_stand_for_sigquit():
    assert stages("SIGTERM", term_is="SIGQUIT") == [COLD]
    assert stages("SIGTERM", soft_timeout=5.0, term_is="SIGQUIT") == [SOFT]
    assert stages("SIGINT", "SIGTERM", term_is="SIGQUIT") == [WARM, COLD]


def test_a_stop_without_a_signal_is_as_a_first_one():
    stopping = Stopping()
    stopping.note_stop()

    assert stopping.next("SIGTERM") is COLD


@given(signals=st.lists(st.sampled_from(["SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP"]), min_size=5, max_size=9))
def test_no_signal_makes_a_stop_less_urgent_and_every_stop_can_be_ended(signals):
    order = [WARM, SOFT, COLD, NOW]

    ranks = [order.index(stage) for stage in stages(*signals, soft_timeout=1.0)]

    assert ranks == sorted(ranks)
    assert ranks[-1] == order.index(NOW)
