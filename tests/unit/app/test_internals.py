"""What Celery's worker lets people exchange is refused with what to do instead, and not ignored."""

from __future__ import annotations

from typing import Any

import pytest

from celeriac import Celery, Task
from celeriac.exceptions import ImproperlyConfigured


@pytest.mark.parametrize(
    ("setting", "value", "alternative"),
    [
        ("worker_agent", "shop.parts:Agent", "start it yourself when `worker_ready`"),
        ("worker_consumer", "shop.parts:Consumer", "signals (celeriac.signals) and the hooks of tasks"),
        ("worker_timer", "shop.parts:Timer", "waits in the broker here"),
    ],
)
def test_a_part_of_the_worker_cannot_be_exchanged_by_a_setting(setting, value, alternative):
    app = Celery("shop", set_as_current=False)

    with pytest.raises(ImproperlyConfigured) as refused:
        app.config_from_object({setting: value}, force=True)

    assert f"{setting} must be left at " in str(refused.value)
    assert alternative in str(refused.value)


def test_what_celery_has_by_default_may_be_said(recwarn):
    app = Celery("shop", set_as_current=False)

    app.conf.update(
        worker_agent=None,
        worker_autoscaler="celery.worker.autoscale:Autoscaler",
        worker_consumer="celery.worker.consumer:Consumer",
        worker_timer=None,
    )
    app.conf.finalize()

    assert not recwarn.list


def make_task(app: Any, **options: Any) -> None:
    """Make a task as programs do that no type checker looks at."""
    app.task(**options)(lambda: None)


@pytest.mark.parametrize("name", ["Request", "Strategy", "start_strategy"])
class TestTasks:
    def test_a_class_of_tasks_that_replaces_one_is_refused(self, name):
        with pytest.raises(TypeError, match=rf"^class \S*Paying of tasks says {name}: .* use "):
            type("Paying", (Task,), {name: "shop.parts:Part", "__qualname__": "Paying"})

    def test_so_is_an_option_of_a_task(self, name):
        app = Celery("shop", set_as_current=False)

        with pytest.raises(TypeError, match=rf"^task 'shop.pay' says {name}: .* use "):
            make_task(app, name="shop.pay", **{name: "shop.parts:Part"})

    def test_and_an_attribute_of_one(self, name):
        pay = Celery("shop", set_as_current=False).task(name="shop.pay")(lambda: None)

        with pytest.raises(TypeError, match=rf"^task 'shop.pay' says {name}: .* use "):
            setattr(pay, name, "shop.parts:Part")


@pytest.mark.parametrize("name", ["WorkController", "Worker"])
def test_an_attribute_of_the_app_that_leads_to_them_says_what_to_do(name):
    with pytest.raises(AttributeError, match=rf"^app 'shop' has no '{name}': "):
        getattr(Celery("shop", set_as_current=False), name)
