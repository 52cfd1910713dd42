from __future__ import annotations

import sys

import pytest

from celeriac.app.current import current_app, kept_apps
from celeriac.app.discovery import find_app
from celeriac.app.imports import ModuleFailed
from celeriac.exceptions import ImproperlyConfigured

WITHOUT_APP = "celeriac.app.without_app"
APP = "from celeriac import Celery\n{name} = Celery({title!r})\n"


@pytest.fixture
def project(tmp_path):
    """Write files of a project, and forget what is imported from it."""

    def write(files):
        for path, text in files.items():
            file = tmp_path / path
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        return tmp_path

    with kept_apps():
        yield write
    sys.modules.pop(WITHOUT_APP, None)
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def app_source(title, name="app"):
    return APP.format(name=name, title=title)


def found(folder, spec=None, **environ):
    return find_app(spec, workdir=folder, environ=environ)


class TestByName:
    @pytest.mark.parametrize("name", ["app", "celery", "anything"])
    def test_a_module_is_looked_through_for_an_app(self, project, name):
        folder = project({"orders.py": app_source("shop", name)})

        assert found(folder, "orders").app.main == "shop"

    def test_an_attribute_called_app_wins_over_others(self, project):
        folder = project({"orders.py": app_source("other", "a") + app_source("shop", "app")})

        assert found(folder, "orders").app.main == "shop"

    def test_an_attribute_can_be_named(self, project):
        folder = project({"orders.py": app_source("other") + app_source("shop", "second")})

        assert found(folder, "orders:second").app.main == "shop"

    @pytest.mark.parametrize("spec", ["orders", "orders:app"])
    def test_what_stands_for_the_current_app_is_that(self, project, spec):
        making = app_source("shop", "_made")
        folder = project({"making.py": making, "orders.py": "import making\nfrom celeriac import current_app as app\n"})

        assert found(folder, spec).app.main == "shop"

    def test_an_attribute_can_be_inside_another(self, project):
        folder = project({"orders.py": "class holder:\n    from celeriac import Celery\n    app = Celery('shop')\n"})

        assert found(folder, "orders:holder.app").app.main == "shop"

    def test_a_packages_celery_module_has_its_app(self, project):
        folder = project({"shop/__init__.py": "", "shop/celery.py": app_source("shop")})

        assert found(folder, "shop").app.main == "shop"

    def test_a_module_can_be_named_as_an_attribute(self, project):
        folder = project({"shop/__init__.py": "from shop import other", "shop/other.py": app_source("shop")})

        assert found(folder, "shop:other").app.main == "shop"

    def test_the_answer_says_what_to_call_it(self, project):
        folder = project({"orders.py": app_source("shop")})

        assert found(folder, "orders:app").spec == "orders:app"

    @pytest.mark.parametrize(
        ("spec", "why"),
        [
            ("orderz", "-A orderz: there is no module 'orderz'"),
            ("orders.py", "-A orders.py: there is no module 'orders.py'; leave out the .py"),
            ("orders.app", "-A orders.app: there is no module 'orders.app'; did you mean orders:app?"),
            ("orders:ap", "-A orders:ap: orders:ap: the module has no such attribute; it has app"),
            ("orders:number", "has a int there, not an app; it has app"),
            ("empty", "has no app: no attribute in it is a Celery instance"),
            (".orders", "-A .orders: '.orders' is not the name of a module"),
        ],
    )
    def test_a_name_that_is_no_app_is_answered_with_why(self, project, spec, why):
        folder = project({"orders.py": app_source("shop") + "number = 7\n", "empty.py": ""})

        with pytest.raises(ImproperlyConfigured) as caught:
            found(folder, spec)

        assert why in str(caught.value)
        assert str(folder) in str(caught.value)

    @pytest.mark.parametrize(
        ("source", "last_line"),
        [
            ("import no_such_library\n", "ModuleNotFoundError: No module named 'no_such_library'"),
            ("1 / 0\n", "ZeroDivisionError: division by zero"),
            ("def f(:\n", "SyntaxError: invalid syntax"),
            ("int('x')\n", "ValueError: invalid literal for int() with base 10: 'x'"),
            ("raise SystemExit('bye')\n", "SystemExit: bye"),
        ],
    )
    def test_what_fails_inside_the_module_is_shown_from_there_on(self, project, source, last_line):
        folder = project({"broken.py": source})

        with pytest.raises(ModuleFailed) as caught:
            found(folder, "broken:app")

        lines = str(caught.value).splitlines()
        assert lines[0] == "cannot import 'broken', named by -A broken:app"
        assert lines[-1] == last_line
        assert [line for line in lines if "File" in line] == [line for line in lines if "broken.py" in line] != []

    def test_what_fails_inside_a_packages_celery_module_is_shown_too(self, project):
        folder = project({"shop/__init__.py": "", "shop/celery.py": "import no_such_library\n"})

        with pytest.raises(ModuleFailed, match="no_such_library"):
            found(folder, "shop")

    def test_a_failing_module_that_was_looked_for_is_named(self, project):
        folder = project({"tasks.py": "1 / 0\n"})

        with pytest.raises(ModuleFailed, match=r"cannot import 'tasks', found as tasks\.py"):
            found(folder)

    def test_an_empty_name_is_refused_rather_than_looked_for(self, project):
        folder = project({"tasks.py": app_source("shop")})

        with pytest.raises(ImproperlyConfigured, match="-A names no app"):
            found(folder, "")

    def test_a_name_given_is_the_only_one_tried(self, project):
        folder = project({"app.py": app_source("shop")})

        with pytest.raises(ImproperlyConfigured):
            found(folder, "elsewhere", CELERIAC_APP="app")


class TestWithoutName:
    def test_the_environment_wins_over_the_project_and_that_over_files(self, project):
        folder = project(
            {
                "one.py": app_source("one"),
                "two.py": app_source("two"),
                "app.py": app_source("three"),
                "pyproject.toml": "[tool.celeriac]\napp = 'two:app'\n",
            }
        )

        from_environment = found(folder, CELERIAC_APP="one")
        from_project = found(folder)
        (folder / "pyproject.toml").unlink()
        from_file = found(folder)

        assert [answer.app.main for answer in (from_environment, from_project, from_file)] == ["one", "two", "three"]
        assert [answer.spec for answer in (from_environment, from_project, from_file)] == ["one", "two:app", "app"]

    def test_files_are_tried_in_their_order_and_those_without_app_are_remembered(self, project):
        folder = project({"app.py": "", "tasks.py": app_source("shop")})

        answer = found(folder)

        assert answer.app.main == "shop"
        [tried] = answer.tried
        assert tried.startswith("app.py: module 'app'")

    @pytest.mark.parametrize("text", ["[tool.other]\napp = 'x'\n", "tool = 5\n"])
    def test_a_project_file_about_other_things_says_nothing(self, project, text):
        folder = project({"pyproject.toml": text, "tasks.py": app_source("shop")})

        assert found(folder).spec == "tasks"

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            (b"[tool.celeriac]\napp = 7\n", "must be a text, got 7"),
            (b"[tool]\nceleriac = 7\n", "must be a table, got 7"),
            (b"[tool.celeriac", "cannot be read"),
            (b"# celeriac \xff", "cannot be read"),
        ],
    )
    def test_a_project_file_that_cannot_be_understood_is_named(self, project, text, error):
        folder = project({})
        (folder / "pyproject.toml").write_bytes(text)

        with pytest.raises(ImproperlyConfigured, match=error) as caught:
            found(folder)

        assert str(folder / "pyproject.toml") in str(caught.value)

    @pytest.mark.parametrize("name", ["celeriacconfig", "celeryconfig"])
    def test_a_project_of_settings_alone_has_the_default_app(self, project, name):
        folder = project({f"{name}.py": "imports = ['orders']\n"})

        answer = found(folder)

        assert (answer.spec, answer.app) == (WITHOUT_APP, current_app())
        assert found(project({"tasks.py": app_source("shop")})).app.main == "shop"

    @pytest.mark.parametrize("variable", ["CELERIAC_CONFIG_MODULE", "CELERY_CONFIG_MODULE"])
    def test_settings_may_be_named_by_the_environment(self, project, variable):
        assert found(project({}), **{variable: "orders"}).spec == WITHOUT_APP

    def test_in_an_empty_folder_the_error_lists_everything_that_was_tried(self, project):
        folder = project({})

        with pytest.raises(ImproperlyConfigured) as caught:
            found(folder)

        text = str(caught.value)
        assert "Name it with -A package.module:attribute" in text
        assert [word for word in ("CELERIAC_APP", "pyproject.toml", "celery.py", "tasks.py") if word not in text] == []

    def test_the_folder_can_be_imported_from_afterwards(self, project):
        folder = project({"tasks.py": app_source("shop")})

        found(folder)

        assert sys.path[0] == str(folder)

    def test_the_current_folder_is_where_it_looks_by_default(self, project, monkeypatch):
        monkeypatch.chdir(project({"tasks.py": app_source("shop")}))

        assert find_app(environ={}).app.main == "shop"
