from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from celeriac import __version__
from celeriac.compat import command
from celeriac.compat.command import install_command, remove_command, script_for
from celeriac.compat.distribution import CeleryStoodFor
from celeriac.exceptions import ImproperlyConfigured


@pytest.fixture
def _without_celery(monkeypatch):
    monkeypatch.setattr(command, "distributions", lambda name: [CeleryStoodFor()])


@pytest.mark.usefixtures("_without_celery")
def test_the_command_is_written_runs_and_is_deleted(tmp_path):
    path = install_command(tmp_path)

    done = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=60)

    assert (path.name, done.stdout) == ("celery", f"celeriac {__version__}\n")
    assert install_command(tmp_path) == remove_command(tmp_path) == path
    assert remove_command(tmp_path) is None


@pytest.mark.usefixtures("_without_celery")
def test_what_somebody_else_has_written_stays(tmp_path):
    (tmp_path / "celery").write_text("#!/bin/sh\n")

    with pytest.raises(ImproperlyConfigured, match="delete it first"):
        install_command(tmp_path)
    with pytest.raises(ImproperlyConfigured, match="stays"):
        remove_command(tmp_path)
    assert (tmp_path / "celery").read_text() == "#!/bin/sh\n"


def test_it_is_refused_where_celery_is_installed(tmp_path, monkeypatch):
    installed = SimpleNamespace(version="5.7.0")
    monkeypatch.setattr(command, "distributions", lambda name: [CeleryStoodFor(), installed])

    with pytest.raises(ImproperlyConfigured, match=r"Celery 5\.7\.0 is installed in .*; ?|Uninstall it first"):
        install_command(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_path_that_a_first_line_cannot_hold_is_written_otherwise(tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    python = folder / "python"
    python.symlink_to(sys.executable)
    script = tmp_path / "script"
    script.write_text(script_for(str(python)))
    script.chmod(0o755)

    assert script_for(str(python)).startswith("#!/bin/sh\n")
    assert f'"{python}"' in script.read_text()
    compile(script.read_text(), "script", "exec")
    assert script_for("/usr/bin/python").startswith("#!/usr/bin/python\n")
