"""Tests as Celery's documentation has people write them: workers in threads, unittest and pytest."""

import unittest
from unittest import mock

import pytest
from celery import Celery, states
from celery.contrib.testing.app import DEFAULT_TEST_CONFIG, TestApp, setup_default_app
from celery.contrib.testing.tasks import ping
from celery.contrib.testing.worker import start_worker
from celery.exceptions import MaxRetriesExceededError, Retry
from worker_app import add, app, stubborn, whoami


class WorkerTestCase(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls._worker = start_worker(app, perform_ping_check=False, loglevel="ERROR")
        cls._worker.__enter__()

    @classmethod
    def tearDownClass(cls):
        super().tearDownClass()
        cls._worker.__exit__(None, None, None)

    def test_a_task_runs(self):
        result = add.delay(4, 4)
        self.assertEqual(result.get(timeout=10), 8)
        self.assertEqual(result.status, states.SUCCESS)

    def test_it_runs_in_a_worker(self):
        hostname, id, eager = whoami.apply_async(task_id="my-id").get(timeout=10)
        self.assertEqual((bool(hostname), id, eager), (True, "my-id", False))

    def test_retries_end(self):
        result = stubborn.delay()
        self.assertRaises(KeyError, result.get, timeout=10)


def test_a_worker_answers_the_ping():
    with start_worker(app, perform_ping_check=False):
        assert ping.delay().get(timeout=10) == "pong"


@pytest.fixture
def eager():
    before = app.conf.task_always_eager, app.conf.task_eager_propagates
    app.conf.update(task_always_eager=True, task_eager_propagates=True)
    yield
    app.conf.task_always_eager, app.conf.task_eager_propagates = before


def test_eager(eager):
    assert add.delay(1, 2).get() == 3
    with pytest.raises(TypeError):
        add.delay("1", 2)


def test_what_is_published_is_mocked():
    with mock.patch("celery.app.task.Task.apply_async") as apply_async:
        add.delay(1, 2)
    assert apply_async.call_args.args[0] == (1, 2)
    with mock.patch.object(add, "delay") as delay:
        add.delay(5)
    delay.assert_called_once_with(5)
    with mock.patch("worker_app.add.apply_async", return_value="sent"):
        assert add.delay(1, 1) == "sent"


def test_a_retry_is_seen():
    with mock.patch("celery.app.task.Task.retry", side_effect=Retry()) as retry, pytest.raises(Retry):
        stubborn()
    assert retry.call_count == 1


def test_apps_for_tests():
    with_app = TestApp("tests", config={"task_default_queue": "tests"}, set_as_current=False)
    with setup_default_app(with_app):
        assert isinstance(with_app, Celery) and with_app.conf.task_default_queue == "tests"
    assert "accept_content" in DEFAULT_TEST_CONFIG
    assert issubclass(MaxRetriesExceededError, Exception)
