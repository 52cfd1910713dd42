from __future__ import annotations

import functools
import subprocess
import sys
from typing import Any

import pytest

from celeriac import Celery, Task
from celeriac.exceptions import ImproperlyConfigured


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

        assert list(app.tasks)[:3] == ["loaded_b.t", "loaded_a.t", "loaded_c.t"]
        for name in ("loaded_a", "loaded_b", "loaded_c"):
            monkeypatch.delitem(sys.modules, name)

    def test_a_module_that_does_not_exist_is_an_error(self, app):
        app.conf.include = ["no_such_module_here"]

        with pytest.raises(ImproperlyConfigured, match="`include` asks for"):
            app.load_tasks()


class TestSubclassing:
    def test_a_class_of_tasks_for_an_app_may_be_made_by_a_program(self):
        class Tenant(Task):
            tenants = ("a",)

        class OwnApp(Celery):
            def create_task_cls(self):
                return self.subclass_with_self(Tenant, name="TenantTask", attribute="_app", abstract=True, level=2)

        app = OwnApp("shop", broker="memory://", set_as_current=False)
        pay: Any = app.task(name="shop.pay")(lambda: None)

        assert (app.Task.__name__, app.Task.__module__, app.Task.app) == ("TenantTask", __name__, app)
        assert (pay.app, pay.tenants, pay.level) == (app, ("a",), 2)

    def test_the_class_may_be_named_by_its_path(self, app):
        from collections import OrderedDict

        made = app.subclass_with_self("collections:OrderedDict", attribute="owner")

        assert (made.__name__, made.__mro__[1], made.owner) == ("OrderedDict", OrderedDict, app)
