from __future__ import annotations

import collections
import os
import sys
from collections import OrderedDict
from types import SimpleNamespace

import pytest

from celeriac import Celery
from celeriac.compat.imports import (
    NotAPackage,
    cwd_in_path,
    find_module,
    gen_task_name,
    import_from_cwd,
    instantiate,
    module_file,
    qualname,
    symbol_by_name,
)


def test_things_have_full_names():
    assert qualname(OrderedDict) == "collections.OrderedDict"
    assert qualname(OrderedDict()) == "collections.OrderedDict"
    assert qualname(OrderedDict.fromkeys) == "OrderedDict.fromkeys"


def test_things_are_found_by_name():
    assert symbol_by_name("collections.OrderedDict") is OrderedDict
    assert symbol_by_name("collections:OrderedDict") is OrderedDict
    assert symbol_by_name("dict", {"dict": "collections:OrderedDict"}) is OrderedDict
    assert symbol_by_name("collections") is collections
    assert symbol_by_name(OrderedDict) is OrderedDict
    assert symbol_by_name("no.such:thing", default=5) == 5
    assert instantiate("collections:OrderedDict", [("a", 1)]) == {"a": 1}


def test_what_is_not_there_is_an_error():
    with pytest.raises(ModuleNotFoundError):
        symbol_by_name("no_such_module:thing")
    with pytest.raises(AttributeError):
        symbol_by_name("collections:thing")


def test_modules_are_imported_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "only_here.py").write_text("X = 5")
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)

    assert import_from_cwd("only_here").X == 5
    assert find_module("only_here").X == 5
    assert sys.path == before
    del sys.modules["only_here"]


def test_a_working_directory_that_is_gone_is_left_out(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()

    with cwd_in_path() as folder:
        assert folder is None
    os.chdir(tmp_path)


def test_a_module_that_is_no_package_is_named():
    with pytest.raises(NotAPackage, match="bisect"):
        find_module("bisect.no_such")


def test_the_file_of_a_module_is_its_source():
    assert module_file(collections).endswith("collections/__init__.py")
    assert module_file(SimpleNamespace(__file__="a.pyc")) == "a.py"  # type: ignore[arg-type]  # has what is read


def test_the_name_of_a_task_is_made_of_its_module_and_function():
    app = Celery("shop", set_as_current=False)

    assert gen_task_name(app, "add", "proj.tasks") == "proj.tasks.add"
    assert gen_task_name(app, "add", "__main__") == gen_task_name(app, "add", None) == "shop.add"
