from __future__ import annotations

import sys
from types import ModuleType

import pytest

from celeriac.app.entry import place_of
from celeriac.exceptions import ImproperlyConfigured


class Nothing:
    def __getattr__(self, name):
        raise RuntimeError("no name") if name == "__name__" else AttributeError(name)


def test_an_app_is_found_behind_what_is_no_module_and_has_no_name(app, monkeypatch):
    nameless, shop = ModuleType("nameless"), ModuleType("shop_place")
    nameless.__dict__["__name__"] = None
    shop.__dict__["app"] = app
    for name, module in (("nothing", Nothing()), ("nameless", nameless), ("shop_place", shop)):
        monkeypatch.setitem(sys.modules, name, module)

    assert place_of(app) == "shop_place:app"


def test_an_app_that_no_module_has_is_no_app_to_start_a_worker_with(app):
    with pytest.raises(ImproperlyConfigured, match="is no attribute of any module"):
        place_of(app)
