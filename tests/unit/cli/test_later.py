from __future__ import annotations

import os

import pytest

from celeriac.cli.later import LATER_FLAGS, LATER_OPTIONS, NEEDLESS_FLAGS, NEEDLESS_OPTIONS
from celeriac.cli.session import Session
from celeriac.cli.worker import worker

LATER = [([flag], later) for flags, later in LATER_FLAGS.items() for flag in flags] + [
    ([flag, "1"], later) for flags, later in LATER_OPTIONS.items() for flag in flags
]
NEEDLESS = [[flag] for flags in NEEDLESS_FLAGS for flag in flags] + [
    [flag, "1"] for flags in NEEDLESS_OPTIONS for flag in flags
]


@pytest.mark.parametrize(("typed", "later"), LATER)
def test_an_option_of_celery_that_is_not_there_yet_is_refused_with_what_it_comes_with(command, typed, later):
    run = command("worker", *typed)

    assert run.code == 2
    assert typed[0] in run.err
    assert f"comes with {later.part}, which this version of celeriac does not have yet." in run.err
    assert later.meanwhile in run.err


@pytest.mark.parametrize("typed", NEEDLESS)
def test_an_option_that_changes_nothing_is_accepted_with_a_word(capsys, typed):
    with worker.make_context("worker", [*typed], obj=Session()):
        pass

    said = capsys.readouterr().err
    assert " has no effect here: " in said
    assert typed[0] in said


def test_none_of_them_is_on_the_help_page(command):
    page = command("worker", "--help").out

    assert "--without-mingle" not in page
    assert "--scheduler" not in page


@pytest.mark.parametrize("before", [True, False])
def test_a_module_of_settings_is_named_for_every_process_of_the_command(monkeypatch, command, before):
    monkeypatch.delenv("CELERIAC_CONFIG_MODULE", raising=False)
    options = ("--config", "shop_settings")

    command(*options, "worker", "--help") if before else command("worker", *options, "--help")

    assert os.environ.pop("CELERIAC_CONFIG_MODULE") == "shop_settings"


def test_a_loader_is_named_for_every_process_of_the_command(monkeypatch, command):
    monkeypatch.delenv("CELERY_LOADER", raising=False)

    command("--loader=shop.loader:Loader", "worker", "--help")

    assert os.environ.pop("CELERY_LOADER") == "shop.loader:Loader"
