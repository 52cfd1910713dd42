from __future__ import annotations

import pytest

from celeriac.app.config.environment import from_environment
from celeriac.app.config.names import Names
from celeriac.exceptions import ImproperlyConfigured, UnknownSetting


def read(**environ):
    return {name: (said.value, said.origin) for name, said in from_environment(environ, Names()).items()}


def test_every_setting_can_be_a_variable():
    assert read(CELERIAC_TASK_MAX_CRASHES="5") == {"task_max_crashes": (5, "environment CELERIAC_TASK_MAX_CRASHES")}


@pytest.mark.parametrize(
    ("variable", "setting"),
    [
        ("CELERY_BROKER_URL", "broker_url"),
        ("CELERY_BROKER_READ_URL", "broker_read_url"),
        ("CELERY_BROKER_WRITE_URL", "broker_write_url"),
        ("CELERY_RESULT_BACKEND", "result_backend"),
    ],
)
def test_the_variables_of_celery_are_read_and_ours_win(variable, setting):
    ours = f"CELERIAC_{setting.upper()}"

    assert read(**{variable: "memory://a"}) == {setting: ("memory://a", f"environment {variable}")}
    assert read(**{ours: "memory://b", variable: "memory://a"}) == {setting: ("memory://b", f"environment {ours}")}


def test_other_variables_of_celery_say_nothing():
    assert read(CELERY_TASK_MAX_CRASHES="5", CELERY_ACKS_LATE="1", PATH="/bin") == {}


def test_an_empty_variable_says_nothing():
    assert read(CELERIAC_BROKER_URL="", CELERY_BROKER_URL="", CELERIAC_NONSENSE="") == {}


def test_a_misspelled_variable_is_answered_with_the_nearest():
    with pytest.raises(UnknownSetting) as caught:
        read(CELERIAC_TASK_MAX_CRASHS="5")

    assert str(caught.value) == (
        "the environment has CELERIAC_TASK_MAX_CRASHS (a str), and there is no such setting; "
        "did you mean CELERIAC_TASK_MAX_CRASHES?"
    )


def test_a_wrong_value_is_answered_with_the_rule_and_the_variable():
    with pytest.raises(
        ImproperlyConfigured, match=r"task_max_crashes must be .* from environment CELERIAC_TASK_MAX_CR"
    ):
        read(CELERIAC_TASK_MAX_CRASHES="many")


@pytest.mark.parametrize(
    "variable",
    ["CELERIAC_APP", "CELERIAC_HOME", "CELERIAC_AS_CELERY", "CELERIAC_CONFIG_MODULE", "CELERIAC_TEST_SIZE"],
)
def test_variables_about_other_things_are_no_settings(variable):
    assert read(**{variable: "x"}) == {}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("CELERIAC_SERVICE_HOST", "10.0.0.1"),
        ("CELERIAC_SERVICE_PORT", "80"),
        ("CELERIAC_SERVICE_PORT_HTTP", "80"),
        ("CELERIAC_PORT", "tcp://10.0.0.1:80"),
        ("CELERIAC_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("CELERIAC_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("CELERIAC_REDIS_PORT", "tcp://10.0.0.1:6379"),
        ("CELERIAC_REDIS_SERVICE_HOST", "10.0.0.1"),
    ],
)
def test_what_kubernetes_tells_of_a_service_of_that_name_is_no_setting(variable, value):
    assert read(**{variable: value}) == {}


def test_a_port_that_is_a_number_is_a_setting():
    assert read(CELERIAC_REDIS_PORT="6380")["redis_port"][0] == 6380
