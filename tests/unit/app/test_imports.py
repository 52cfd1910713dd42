from __future__ import annotations

import sys

import pytest

from celeriac import Celery
from celeriac.app.imports import ModuleFailed, ModuleMissing, import_tasks
from celeriac.exceptions import ImproperlyConfigured


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("module", ["nosuch_tasks", "nosuch_tasks.inner"])
def test_a_module_that_is_not_there_is_named_with_who_asked_for_it(module):
    with pytest.raises(ImproperlyConfigured) as caught:
        import_tasks(module, "-I")

    assert f"there is no module 'nosuch_tasks', which -I asks for ({module!r})" in str(caught.value)
    assert not isinstance(caught.value, ModuleFailed)


def test_a_module_that_misses_another_is_shown_where_it_does(folder):
    (folder / "missing_one.py").write_text("import nosuch_library\n")

    with pytest.raises(ModuleFailed) as caught:
        import_tasks("missing_one", "-I")

    assert str(caught.value).splitlines() == [
        "cannot import 'missing_one', which -I asks for",
        "Traceback (most recent call last):",
        f'  File "{folder}/missing_one.py", line 1, in <module>',
        "    import nosuch_library",
        "ModuleNotFoundError: No module named 'nosuch_library'",
    ]


def test_frames_of_ours_below_those_of_the_users_stay(folder):
    (folder / "wrong_option.py").write_text("from celeriac import Celery\napp = Celery(task_acks_lat=True)\n")

    with pytest.raises(ModuleFailed) as caught:
        import_tasks("wrong_option", "-I")

    files = [line for line in str(caught.value).splitlines() if line.startswith("  File")]
    assert "wrong_option.py" in files[0]
    assert "app/config/" in files[-1]


def test_programs_ask_the_loader_of_an_app_for_its_modules(folder):
    (folder / "loader_tasks.py").write_text("LOADED = True\n")
    app = Celery("shop", broker="memory://", set_as_current=False, include=["loader_tasks"])

    app.loader.import_default_modules()

    assert sys.modules["loader_tasks"].LOADED
    assert app.loader.conf is app.conf
    assert app.loader.import_task_module("loader_tasks") is app.loader.import_module("loader_tasks")
    with pytest.raises(ModuleMissing):
        app.loader.import_task_module("nosuch_tasks")


def test_the_error_about_a_module_that_is_not_there_has_its_name():
    app = Celery("shop", broker="memory://", set_as_current=False)

    with pytest.raises(ModuleNotFoundError) as of_include:
        import_tasks("nosuch.tasks", "include")
    with pytest.raises(ModuleNotFoundError) as of_discovery:
        app.autodiscover_tasks(["nosuch"], force=True)

    assert (of_include.value.name, of_discovery.value.name) == ("nosuch", "nosuch")
