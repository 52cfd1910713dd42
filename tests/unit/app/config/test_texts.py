from __future__ import annotations

import pytest

from celeriac.app.config.names import Names
from celeriac.app.config.table import SETTINGS
from celeriac.app.config.texts import read_assignments, read_text
from celeriac.exceptions import ImproperlyConfigured, UnknownSetting

READ = [
    ("task_acks_late", "off", False),
    ("task_acks_late", "True", True),
    ("task_acks_late", "true", True),
    ("task_acks_late", "1", True),
    ("task_acks_late", "no", False),
    ("task_acks_late", "(bool)yes", True),
    ("task_default_queue", "7", "7"),
    ("task_default_queue", '"7"', "7"),
    ("task_default_queue", "None", "None"),
    ("worker_concurrency", "None", None),
    ("worker_concurrency", "null", None),
    ("worker_concurrency", "auto", None),
    ("worker_concurrency", "4", 4),
    ("worker_concurrency", "(int)4", 4),
    ("task_publish_timeout", "2.5", 2.5),
    ("task_publish_timeout", "(float)2", 2.0),
    ("include", "shop.tasks", ("shop.tasks",)),
    ("include", "shop.tasks, mail", ("shop.tasks", "mail")),
    ("include", '["a", "b"]', ("a", "b")),
    ("include", '(list)["a"]', ("a",)),
    ("imports", "(tuple)[]", ()),
    ("accept_content", "json,msgpack", ("json", "msgpack")),
    ("task_routes", '{"shop.*": "shop"}', {"shop.*": "shop"}),
    ("broker_url", "memory://a;memory://b", "memory://a;memory://b"),
    ("broker_transport_options", "(dict){}", {}),
    ("worker_umask", "022", 18),
    ("result_backend_max_retries", "Infinity", float("inf")),
    ("task_default_rate_limit", "10/m", "10/m"),
]


@pytest.mark.parametrize(("name", "text", "value"), READ, ids=[f"{name}={text}" for name, text, _ in READ])
def test_text_is_read_as_its_setting_wants_it(name, text, value):
    read = read_text(SETTINGS[name], text, "command line")

    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("task_acks_late", "maybe", "task_acks_late must be True or False, got 'maybe', a str, from command line"),
        ("worker_prefetch_multiplier", "-1", "got -1, an int, from command line"),
        ("task_max_crashes", "(int)many", r"task_max_crashes from command line cannot be read as \(int\)"),
        ("task_max_crashes", "(float)2.5", "task_max_crashes must be a whole number >= 1, got 2.5, a float"),
    ],
)
def test_text_that_its_setting_refuses_is_answered_with_the_rule(name, text, error):
    with pytest.raises(ImproperlyConfigured, match=error):
        read_text(SETTINGS[name], text, "command line")


@pytest.mark.parametrize(
    "assignment",
    [
        "worker_concurrency=3",
        "worker.concurrency=3",
        "Worker.Concurrency=3",
        ".concurrency=3",
        "_concurrency=3",
        "CELERYD_CONCURRENCY=3",
        "worker_concurrency=(int)3",
    ],
)
def test_assignments_may_be_spelled_as_celery_takes_them(assignment):
    assert read_assignments([assignment], Names(), "command line", namespace="worker") == {"worker_concurrency": 3}


def test_only_the_first_equals_sign_divides():
    assert read_assignments(["task_default_queue=a=b"], Names(), "command line") == {"task_default_queue": "a=b"}


def test_of_two_assignments_the_last_one_counts():
    said = read_assignments(["task_default_queue=a", "task.default_queue=b"], Names(), "command line")

    assert said == {"task_default_queue": "b"}


def test_an_assignment_to_nothing_is_answered_with_the_nearest():
    with pytest.raises(UnknownSetting, match=r"'worker_concurency' .*did you mean 'worker_concurrency'"):
        read_assignments(["worker_concurency=3"], Names(), "command line")


def test_what_is_no_assignment_is_answered_with_how_they_look():
    with pytest.raises(ImproperlyConfigured, match=r"'shop' from command line is no setting; .* name=value"):
        read_assignments(["shop"], Names(), "command line")
