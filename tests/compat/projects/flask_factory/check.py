"""A browser that starts tasks and polls for them."""

import time

from make_celery import celery_app, flask_app
from web import tasks

client = flask_app.test_client()


def value_of(path, **form):
    id = client.post(path, data=form).get_json()["result_id"]
    for _ in range(1000):
        found = client.get(f"/tasks/result/{id}").get_json()
        if found["ready"]:
            return found
        time.sleep(0.02)
    raise AssertionError(f"{path} was not ready in time: {found}")


assert tasks.greet.app is celery_app, tasks.greet.app
assert tasks.greet.ignore_result is False and tasks.block.ignore_result is True
assert value_of("/tasks/greet", name="Ada") == {"ready": True, "successful": True, "value": "Hello, Ada!"}
assert value_of("/tasks/process", total="3")["value"] == {"current": 3, "total": 3}
assert client.post("/tasks/block").status_code == 200
with flask_app.app_context():
    assert tasks.greet("Grace") == "Hello, Grace!"
    assert tasks.greet.apply(("Edsger",)).get() == "Hello, Edsger!"
