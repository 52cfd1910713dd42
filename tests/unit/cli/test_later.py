from __future__ import annotations

import pytest

from celeriac.cli.later import LATER_FLAGS, LATER_OPTIONS, NEEDLESS_FLAGS, NEEDLESS_OPTIONS
from celeriac.cli.session import Session
from celeriac.cli.worker import worker

LATER = [[flag] for flags in LATER_FLAGS for flag in flags] + [[flag, "1"] for flags in LATER_OPTIONS for flag in flags]
NEEDLESS = [[*flags] for flags in NEEDLESS_FLAGS] + [[*flags, "1"] for flags in NEEDLESS_OPTIONS]


@pytest.mark.parametrize("typed", LATER)
def test_an_option_of_celery_that_is_not_there_yet_is_refused_by_name(command, typed):
    run = command("worker", *typed)

    assert run.code == 2
    assert typed[0] in run.err
    assert "not available in this version" in run.err


def test_the_spelling_of_celery_3_is_refused_in_the_same_way(command):
    assert "not available in this version" in command("worker", "--maxtasksperchild=128").err


@pytest.mark.parametrize("typed", NEEDLESS)
def test_an_option_that_changes_nothing_is_accepted_with_a_word(capsys, typed):
    with worker.make_context("worker", [*typed], obj=Session()):
        pass

    assert f"{typed[0]} has no effect here: " in capsys.readouterr().err


def test_none_of_them_is_on_the_help_page(command):
    page = command("worker", "--help").out

    assert "--without-gossip" not in page
    assert "--autoscale" not in page
