from __future__ import annotations

import asyncio
import functools
import subprocess
import sys
from datetime import timedelta

import pytest

from celeriac import Celeriac, Celery
from celeriac.exceptions import AlwaysEagerIgnored, ImproperlyConfigured, UnknownSetting
from tests.unit.app.messages import arguments_of, headers_of


def test_it_has_two_names():
    assert Celeriac is Celery


def test_its_arguments_are_settings():
    app = Celery(
        "shop",
        broker="memory://a",
        backend="memory://b",
        include="shop.tasks",
        task_default_queue="goods",
    )

    conf = app.conf
    assert (conf.broker_url, conf.result_backend, conf.include) == ("memory://a", "memory://b", ("shop.tasks",))
    assert (app.main, conf.task_default_queue) == ("shop", "goods")


def test_an_argument_that_is_no_setting_is_named():
    with pytest.raises(
        UnknownSetting, match=r"there is no setting 'task_default_que' .*did you mean 'task_default_queue'"
    ):
        Celery("shop", task_default_que="goods")


class TestNamingTasks:
    def test_a_task_is_named_after_its_module_and_function(self, app):
        @app.task
        def pay(): ...

        assert pay.name == f"{__name__}.pay"

    def test_the_name_of_the_app_stands_for_the_main_module(self, app):
        assert app.gen_task_name("pay", "__main__") == "shop.pay"

    def test_naming_can_be_overridden(self):
        class ShoutingApp(Celery):
            def gen_task_name(self, name, module):
                return name.upper()

        @ShoutingApp("shop").task
        def pay(): ...

        assert pay.name == "PAY"

    @pytest.mark.parametrize(("how", "name"), [(["orders.py"], "orders.pay"), (["-m", "orders"], "orders.pay")])
    def test_a_nameless_app_names_tasks_of_a_script_as_a_worker_would_import_them(self, tmp_path, how, name):
        script = "from celeriac import Celery\napp = Celery()\n@app.task\ndef pay(): ...\nprint(pay.name)\n"
        (tmp_path / "orders.py").write_text(script)

        run = subprocess.run([sys.executable, *how], cwd=tmp_path, capture_output=True, text=True, check=True)

        assert run.stdout.strip() == name

    def test_a_task_can_be_made_only_of_what_has_a_name(self, app):
        with pytest.raises(TypeError, match=r"has no name of its own; give it one with @app\.task\(name=\.\.\.\)"):
            app.task(functools.partial(print))
        with pytest.raises(TypeError, match="options are given by name"):
            app.task("shop.pay")
        named = app.task(name="shop.print")(functools.partial(int, "7"))

        assert named() == 7

    def test_a_task_is_not_made_of_a_task(self, app):
        @app.task(name="shop.pay")
        def pay(): ...

        for make in (app.task, app.task(name="shop.other")):
            with pytest.raises(TypeError, match="is a task already"):
                make(pay)

    def test_a_name_makes_no_function_of_what_is_none(self, app):
        with pytest.raises(TypeError, match="makes tasks of functions, got 5"):
            app.task(name="shop.five")(5)

        assert "shop.five" not in app.tasks


class TestSendingByName:
    def test_a_task_that_is_not_known_here_can_be_called(self, app, sent):
        result = app.send_task("elsewhere.pay", (5,), {"currency": "EUR"}, queue="money", task_id="order-7")

        [message] = sent("money")
        assert (result.id, message.task_id, headers_of(message)["task"]) == ("order-7", "order-7", "elsewhere.pay")
        assert arguments_of(message) == ([5], {"currency": "EUR"})

    def test_an_option_that_does_not_exist_is_named(self, app):
        with pytest.raises(TypeError, match=r"a call of task 'shop\.pay' has no option 'routes'"):
            app.send_task("shop.pay", routes=1)

    def test_it_is_published_even_where_calls_run_at_once_and_says_so(self, app, sent):
        app.conf.task_always_eager = True

        with pytest.warns(AlwaysEagerIgnored, match="has no effect on calls by name") as warned:
            app.send_task("shop.pay")
        with pytest.warns(AlwaysEagerIgnored):
            asyncio.run(app.asend_task("shop.pay"))

        assert warned[0].filename == __file__
        assert len(sent()) == 2


class TestLoadingTasks:
    def test_a_module_that_raises_is_named_with_its_setting_and_where_it_fails(self, tmp_path, monkeypatch):
        (tmp_path / "raising_tasks.py").write_text("1 / 0\n")
        monkeypatch.syspath_prepend(tmp_path)
        app = Celery(include="raising_tasks")

        with pytest.raises(ImproperlyConfigured) as caught:
            app.load_tasks()

        lines = str(caught.value).splitlines()
        assert lines[0] == "cannot import 'raising_tasks', which `include` asks for"
        assert lines[2] == f'  File "{tmp_path}/raising_tasks.py", line 1, in <module>'
        assert lines[-1] == "ZeroDivisionError: division by zero"

    def test_the_modules_of_the_settings_are_imported_in_their_order(self, app, tmp_path, monkeypatch):
        monkeypatch.syspath_prepend(tmp_path)
        for name in ("loaded_a", "loaded_b", "loaded_c"):
            (tmp_path / f"{name}.py").write_text("from celeriac import current_app\n@current_app.task\ndef t(): ...\n")
        app.conf.update(imports=["loaded_b"], include=["loaded_a", "loaded_c"])

        app.load_tasks()

        assert list(app.tasks) == ["loaded_b.t", "loaded_a.t", "loaded_c.t"]
        for name in ("loaded_a", "loaded_b", "loaded_c"):
            monkeypatch.delitem(sys.modules, name)

    def test_a_module_that_does_not_exist_is_an_error(self, app):
        app.conf.include = ["no_such_module_here"]

        with pytest.raises(ImproperlyConfigured, match="`include` asks for"):
            app.load_tasks()


class TestStores:
    def test_broker_and_backend_are_made_once(self, app):
        assert app.broker is app.broker
        assert app.backend is app.backend

    def test_they_stay_when_a_setting_that_does_not_concern_them_changes(self, app):
        broker = app.broker

        app.conf.task_default_queue = "other"

        assert app.broker is broker

    def test_they_are_made_anew_when_their_urls_change(self, app):
        app.send_task("shop.pay")
        before = app.broker.url

        app.conf.broker_url = "memory://another-place"

        assert (before != app.broker.url, app.broker.url) == (True, "memory://another-place")

    def test_a_wrong_url_is_an_error_when_it_is_used_and_can_be_corrected(self, app):
        app.conf.broker_url = "carrier-pigeon://roof"
        with pytest.raises(ImproperlyConfigured, match="carrier-pigeon"):
            app.send_task("shop.pay")

        app.conf.broker_url = "memory://"

        assert app.send_task("shop.pay").id

    def test_a_closed_app_opens_again_when_it_is_used(self, tmp_path):
        with Celery("shop", broker=f"sqlite:///{tmp_path}/shop.db") as app:
            app.send_task("shop.pay")
        app.close()

        app.send_task("shop.pay")

        [depth] = app.broker.depths()
        assert depth.ready == 2
        app.close()


def test_the_time_is_told_in_the_apps_zone():
    app = Celery(timezone="Asia/Kathmandu")

    assert app.now().utcoffset() == timedelta(hours=5, minutes=45)


def test_its_repr_names_it_and_counts_its_tasks(app):
    app.task(name="t")(lambda: None)

    assert repr(app) == "<Celery shop: 1 tasks>"
