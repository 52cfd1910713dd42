from __future__ import annotations

import importlib
from pathlib import Path

import celeriac
from celeriac.compat import stubs
from celeriac.compat.modules import names_of

STUBS = Path(celeriac.__file__).parents[1] / "celeriac-stubs"


def test_the_stub_package_is_what_the_table_says():
    found = {str(file.relative_to(STUBS)): file.read_text() for file in STUBS.rglob("*") if file.is_file()}

    assert found == stubs.stub_files(), "run: python -m celeriac.compat.stubs src/celeriac-stubs"


def test_no_stub_hides_a_module_that_defines_something():
    for name in stubs.stub_files():
        source = Path(celeriac.__file__).parent / name.replace(".pyi", ".py")
        if source.suffix == ".py" and source.exists():
            module = importlib.import_module(".".join(["celeriac", *Path(name).parent.parts]))
            ours = {each for each, value in vars(module).items() if getattr(value, "__module__", "") == module.__name__}
            assert ours <= set(names_of(module.__name__))


def test_what_is_gone_from_the_table_is_deleted(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "__init__.pyi").write_text("")

    stubs.write(tmp_path)
    stubs.write(tmp_path)

    assert {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()} == set(
        stubs.stub_files()
    )
