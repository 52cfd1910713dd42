from __future__ import annotations

import sys

import pytest

from tests.unit.cli.command_line import CommandLine, Shop


@pytest.fixture
def command(capsys, monkeypatch, tmp_path):
    """The command line, in an empty folder, where `main` leaves this process as it was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr("celeriac.app.current._current", None)
    return CommandLine(capsys, monkeypatch)


@pytest.fixture
def shop(command, monkeypatch, tmp_path):
    shop = Shop(monkeypatch, tmp_path)
    yield shop
    shop.app.close()
