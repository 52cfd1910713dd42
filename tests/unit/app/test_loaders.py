"""Loaders: what a class of a program's own overrides is called, and what nothing calls is refused."""

from __future__ import annotations

import itertools
import pickle
import sys
from typing import Any

import pytest

from celeriac import Celery
from celeriac.app import loaders
from celeriac.app.loaders import AppLoader, BaseLoader, Loader
from celeriac.app.signals import task_postrun, task_prerun, worker_init, worker_process_init, worker_shutdown
from celeriac.exceptions import ImproperlyConfigured
from celeriac.testing import start_worker

SIGNALS = (task_prerun, task_postrun, worker_init, worker_process_init, worker_shutdown)
numbers = itertools.count()
seen: list[tuple[Any, ...]] = []


class Shop(BaseLoader):
    """Do everything that a loader may do."""

    def read_configuration(self, env: str = "SHOP_CONFIG") -> Any:
        seen.append(("read",))
        return {"task_default_queue": "shop", "broker_url": f"memory://loaders-{next(numbers)}"}

    def import_default_modules(self) -> None:
        seen.append(("import",))
        super().import_default_modules()

    def on_task_init(self, task_id: str, task: Any) -> None:
        seen.append(("begins", task_id, task.name))

    def on_process_cleanup(self) -> None:
        seen.append(("ended",))

    def on_worker_init(self) -> None:
        seen.append(("worker",))

    def on_worker_process_init(self) -> None:
        seen.append(("process",))

    def on_worker_shutdown(self) -> None:
        seen.append(("shutdown",))


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.delenv("CELERY_LOADER", raising=False)
    seen.clear()
    before = [(signal, list(signal.receivers)) for signal in SIGNALS]
    yield
    for signal, receivers in before:
        signal.receivers[:] = receivers


def made(**options: Any) -> Celery:
    return Celery("shop", set_as_current=False, **options)


def test_its_settings_are_read_when_one_is_needed_and_once():
    app = made(loader=Shop)
    assert seen == []

    assert (app.conf.task_default_queue, app.conf.timezone) == ("shop", None)
    assert app.conf.origin_of("task_default_queue") == "dict of the loader Shop"
    assert seen == [("read",)]
    assert app.loader.conf is app.conf
    assert app.loader.configured


def test_a_source_that_the_program_names_wins():
    app = made(loader=Shop, config_source={"task_default_queue": "named"})

    assert app.conf.task_default_queue == "named"
    assert seen == []


def test_it_hears_of_runs_of_its_own_app_alone():
    app, other = made(loader=Shop), made(broker="memory://")
    own = app.task(name="shop.pay")(lambda: 1)
    strange = other.task(name="shop.strange")(lambda: 1)
    assert app.loader.now().tzinfo is not None

    own.apply(task_id="id-1").get()
    strange.apply().get()

    assert seen[-2:] == [("begins", "id-1", "shop.pay"), ("ended",)]
    assert len([one for one in seen if one[0] == "begins"]) == 1


def test_it_imports_what_a_worker_imports():
    app = made(loader=Shop)

    app.load_tasks()

    assert seen == [("import",), ("read",)]


def test_it_hears_of_a_worker():
    app = made(loader=Shop)
    app.task(name="shop.pay")(lambda: 1)

    with start_worker(app, perform_ping_check=False):
        assert app.tasks["shop.pay"].delay().get(timeout=20) == 1

    assert ("import",) in seen
    assert [one[0] for one in seen if one[0] in ("begins", "ended")] == ["begins", "ended"]


def test_signals_of_nodes_reach_it():
    app = made(loader=Shop)
    assert isinstance(app.loader, Shop)

    class Node:
        def __init__(self, app: Any) -> None:
            self.app = app

    for sender in (Node(app), Node(object())):
        worker_init.send(sender=sender)
        worker_shutdown.send(sender=sender)
    worker_process_init.send(sender="w1@here")

    assert seen == [("worker",), ("shutdown",), ("process",)]


@pytest.mark.parametrize(
    ("said", "variable", "kind"),
    [
        (None, "", AppLoader),
        (Shop, "default", Shop),
        (f"{__name__}:Shop", "", Shop),
        ("app", "default", AppLoader),
        (None, "default", Loader),
        (None, "celery.loaders.default:Loader", Loader),
        (None, f"{__name__}:Shop", Shop),
    ],
)
def test_it_is_named_by_the_app_or_the_environment(monkeypatch, said, variable, kind):
    monkeypatch.setenv("CELERY_LOADER", variable)

    assert type(made(loader=said).loader) is kind


def test_a_class_of_apps_may_name_one():
    class App(Celery):
        loader_cls = Shop

    assert type(App("shop", set_as_current=False).loader) is Shop
    assert type(App("shop", set_as_current=False, loader="app").loader) is AppLoader


def test_an_app_is_pickled_with_it():
    again = pickle.loads(pickle.dumps(made(loader=Shop)))

    assert type(again.loader) is Shop


def test_the_default_one_reads_the_module_of_that_name(tmp_path, monkeypatch, request):
    (tmp_path / "celeryconfig.py").write_text("import os\ntask_default_queue = 'of the module'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    request.addfinalizer(lambda: sys.modules.pop("celeryconfig", None))

    app = made(loader="default")

    assert app.conf.task_default_queue == "of the module"
    assert app.loader.read_configuration()["task_default_queue"] == "of the module"


def test_what_is_no_loader_is_refused():
    with pytest.raises(ImproperlyConfigured, match="which is no class of loaders"):
        _ = made(loader=dict).loader
    with pytest.raises(ImproperlyConfigured, match=r"Celery\(loader=…\) names 'nowhere:Loader', which cannot be had"):
        _ = made(loader="nowhere:Loader").loader


@pytest.mark.parametrize("name", list(loaders._NOT_CALLED))
def test_what_nothing_calls_is_refused_with_what_to_do_instead(name):
    kind = type("Own", (BaseLoader,), {name: lambda *_, **__: None})

    with pytest.raises(ImproperlyConfigured, match=f"the loader Own has {name}, which nothing calls: "):
        _ = made(loader=kind).loader


def test_programs_may_begin_as_a_worker_does():
    app = made(loader=Shop)

    app.loader.init_worker()
    app.loader.init_worker()
    app.loader.init_worker_process()
    app.loader.shutdown_worker()

    assert seen == [("import",), ("read",), ("worker",), ("process",), ("shutdown",)]
