"""Values that nobody can keep: the run that returns or raises one fails and says so, and its worker goes on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from celeriac.exceptions import EncodeError
from tests.integration.project import ENGINES, Project, opened, opened_store

VALUES = """
from celeriac.exceptions import Reject

app.conf.update(result_max_bytes=1_000_000)


class Mute:
    def __repr__(self):
        raise SystemExit("nobody asked")


class Odd(Exception):
    def __str__(self):
        raise KeyError("in __str__")

    __repr__ = __str__


def deep():
    value = []
    for _ in range(100_000):
        value = [value]
    return value


def circle():
    value = []
    value.append(value)
    return value


VALUES = {
    "an object": object,
    "a function": lambda: deep,
    "a generator": lambda: (number for number in range(3)),
    "an open file": lambda: open("/dev/null"),
    "a circle": circle,
    "a list of 100,000 levels": deep,
    "an object without a repr": Mute,
    "an object in a list": lambda: [1, {"x": [Mute()]}],
    "a key that is no text": lambda: {(1, 2): 3},
    "a text over the limit": lambda: "x" * 1_000_000,
    "bytes over the limit": lambda: b"x" * 1_000_000,
    "numbers over the limit": lambda: list(range(200_000)),
}


@app.task
def value(name):
    return VALUES[name]()


@app.task
def text(size):
    return "x" * size


@app.task
def raise_value(name):
    raise ValueError("in vain", VALUES[name]())


@app.task
def raise_odd():
    raise Odd(Mute())


@app.task(acks_on_failure_or_timeout=False)
def keep_odd():
    raise Odd(Mute())


@app.task
def reject_odd():
    raise Reject(Mute())


@app.task(bind=True, max_retries=1)
def retry_odd(self):
    raise self.retry(exc=Odd(Mute()), countdown=0)
"""
KINDS = (
    ("an object", "object"),
    ("a function", "function"),
    ("a generator", "generator"),
    ("an open file", "TextIOWrapper"),
    ("a circle", "result"),
    ("a list of 100,000 levels", "result"),
    ("an object without a repr", "Mute"),
    ("an object in a list", "Mute"),
    ("a key that is no text", "(1, 2)"),
    ("a text over the limit", "result_max_bytes"),
    ("bytes over the limit", "result_max_bytes"),
    ("numbers over the limit", "result_max_bytes"),
)


REJECTED = ("Odd: ", "Odd (", "Reject: ")
"""How the reasons begin of what a test has rejected on purpose, which may have come before."""


@pytest.fixture(scope="module", params=ENGINES)
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One project for all values: the same child meets every one of them."""
    with opened_store(request.param, request) as store, opened(tmp_path_factory.mktemp("values"), store) as project:
        project.use_also(VALUES)
        project.start("-l", "info", concurrency=1)
        yield project


def assert_goes_on(project: Project, child: int) -> None:
    assert project.call("pid").get(timeout=60) == child, project.logs()
    assert [reason for reason in project.dead_reasons() if not reason.startswith(REJECTED)] == []
    assert project.is_empty()


@pytest.mark.parametrize(("name", "told"), KINDS)
def test_a_value_that_cannot_be_kept_fails_its_run_and_says_so(shared: Project, name: str, told: str) -> None:
    child = shared.call("pid").get(timeout=60)

    result = shared.call("value", name)

    with pytest.raises(EncodeError, match=r"the result of task 'tasks\.value' .* cannot be stored") as raised:
        result.get(timeout=60)
    assert told in str(raised.value)
    assert result.state == "FAILURE"
    assert_goes_on(shared, child)


@pytest.mark.parametrize("name", [name for name, _ in KINDS])
def test_an_exception_with_such_a_value_is_told_without_it(shared: Project, name: str) -> None:
    child = shared.call("pid").get(timeout=60)

    result = shared.call("raise_value", name)

    with pytest.raises(ValueError, match="in vain") as raised:
        result.get(timeout=60)
    assert len(str(raised.value)) < 10_000
    assert_goes_on(shared, child)


def test_an_exception_that_cannot_be_shown_fails_its_run_all_the_same(shared: Project) -> None:
    child = shared.call("pid").get(timeout=60)

    result = shared.call("raise_odd")

    assert type(result.get(timeout=60, propagate=False)).__name__ == "RemoteError"
    assert_goes_on(shared, child)


@pytest.mark.parametrize("name", ["keep_odd", "reject_odd", "retry_odd"])
def test_an_exception_that_cannot_be_shown_is_no_crash(shared: Project, name: str) -> None:
    child = shared.call("pid").get(timeout=60)

    result = shared.call(name)

    assert result.get(timeout=60, propagate=False) is not None
    assert shared.call("pid").get(timeout=60) == child, shared.logs()


def test_a_result_just_under_the_limit_is_kept(shared: Project) -> None:
    assert len(shared.call("text", 999_000).get(timeout=60)) == 999_000
