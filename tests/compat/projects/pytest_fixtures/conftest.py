import pytest

pytest_plugins = ("celery.contrib.pytest",)


@pytest.fixture(scope="session")
def celery_config():
    return {"broker_url": "memory://", "result_backend": "cache+memory://", "task_default_queue": "tests"}


@pytest.fixture(scope="session")
def celery_worker_parameters():
    return {"queues": ("tests",), "perform_ping_check": False}


@pytest.fixture(scope="session")
def celery_includes():
    return ["library"]


@pytest.fixture(scope="session")
def celery_class_tasks():
    from library import ClassTask

    return [ClassTask]
