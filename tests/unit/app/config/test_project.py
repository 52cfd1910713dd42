from __future__ import annotations

import pytest

from celeriac.app.config.project import read_project, settings_in_project
from celeriac.exceptions import ImproperlyConfigured


@pytest.mark.parametrize(
    "text",
    ["[tool.celeriac]\ntask_max_crashes = 5\n", "[tool]\nceleriac = {task_max_crashes = 5}\n"],
)
def test_the_table_of_a_project_is_read(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)

    assert read_project(tmp_path) == {"task_max_crashes": 5}


@pytest.mark.parametrize("text", ["", "[tool.other]\nceleriac = 7\n", "tool = 'celeriac'\n", "[tool"])
def test_a_project_without_the_table_says_nothing(tmp_path, text):
    (tmp_path / "pyproject.toml").write_text(text)

    assert read_project(tmp_path) == {}


def test_a_folder_without_a_project_says_nothing(tmp_path):
    assert read_project(tmp_path) == read_project(tmp_path / "nowhere") == {}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"[tool.celeriac", "cannot be read"),
        (b"# celeriac \xff", "cannot be read"),
        (b"[tool]\nceleriac = 7\n", "must be a table, got 7"),
    ],
)
def test_a_project_that_cannot_be_understood_is_named(tmp_path, content, error):
    (tmp_path / "pyproject.toml").write_bytes(content)

    with pytest.raises(ImproperlyConfigured, match=error) as caught:
        read_project(tmp_path)

    assert str(tmp_path / "pyproject.toml") in str(caught.value)


def test_a_project_that_is_a_folder_is_named(tmp_path):
    (tmp_path / "pyproject.toml").mkdir()

    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        read_project(tmp_path)


def test_the_name_of_the_app_is_no_setting(tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.celeriac]\napp = 'shop'\ntask_default_queue = 'mail'\n")

    assert settings_in_project(tmp_path) == {"task_default_queue": "mail"}
