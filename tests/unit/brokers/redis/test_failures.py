from __future__ import annotations

import pytest

from celeriac.brokers.redis.failures import ELSEWHERE, PASSING, ServerError, Step, refusal, unanswered, unreachable
from celeriac.exceptions import BrokerFull, BrokerUnavailable, OperationalError


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("WRONGTYPE Operation against a key holding the wrong kind of value", "WRONGTYPE"),
        ("ERR syntax error", "ERR"),
        ("something else", "ERR"),
        ("READONLY You can't write against a read only replica. script: abc, on @user_script:3.", "READONLY"),
        (
            "ERR Error running script (call to f_ab): @user_script:3: @user_script: 3: -READONLY You can't write",
            "READONLY",
        ),
        ("ERR Error running script (call to f_ab): @user_script:3: WRONGTYPE Operation against", "WRONGTYPE"),
        ("ERR user_script:1: bad argument script: ab, on @user_script:1.", "ERR"),
    ],
)
def test_the_code_is_that_of_the_command_that_failed_also_inside_a_script(text, code):
    assert ServerError(text).code == code


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", "without a master"),
        ("CLUSTERDOWN The cluster is down", "is part of a cluster that is down"),
        ("NOREPLICAS Not enough good replicas to write.", "fewer replicas"),
        ("BUSY Redis is busy running a script.", "SCRIPT KILL"),
        ("TRYAGAIN Multiple keys request during rehashing of slot", "is moving keys"),
        ("READONLY You can't write against a read only replica.", "a failover is under way"),
        ("LOADING Redis is loading the dataset in memory", "is loading its data"),
    ],
)
def test_states_that_pass_are_unavailability_and_are_named(text, said):
    error = ServerError(text)

    assert error.code in PASSING
    for raised in (refusal(error, "h:1", "SET"), unanswered(error, "h:1", "SET", 3.0, sent=False)):
        assert type(raised) is BrokerUnavailable
        assert said in str(raised)
        assert "SET" in str(raised)
        assert not raised.maybe_published


def test_a_new_connection_is_made_only_where_another_server_may_answer():
    assert ELSEWHERE < PASSING
    assert not ELSEWHERE & {"BUSY", "NOREPLICAS", "TRYAGAIN"}


def test_what_the_command_itself_did_wrong_is_no_unavailability():
    for text in ("WRONGTYPE Operation against a key", "NOPERM this user has no permissions", "ERR unknown command"):
        assert type(refusal(ServerError(text), "h:1", "SET")) is OperationalError


def test_no_room_is_an_error_of_its_own():
    assert type(refusal(ServerError("OOM command not allowed"), "h:1", "SET")) is BrokerFull


@pytest.mark.parametrize("step", Step)
def test_silence_and_ends_are_told_apart_by_how_far_connecting_had_come(step):
    silence = str(unreachable(TimeoutError(), "h:1", 3.0, step))
    end = str(unreachable(ConnectionResetError(), "h:1", 3.0, step))

    assert silence.startswith("redis at h:1 ")
    assert "3.0 s" in silence
    assert silence != end
