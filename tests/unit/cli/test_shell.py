from __future__ import annotations

import sys

import pytest

from celeriac.cli.shell import namespace


def test_a_program_on_standard_input_has_the_app_and_its_tasks_at_hand(command, shop):
    run = command("shell", answer="print(pay.name, tasks['shop.remind'] is remind, celery is app, app.main)")

    assert (run.code, run.out) == (0, "shop.pay True True shop\n")


def test_calls_made_there_are_published(command, shop):
    command("shell", answer="pay.delay(12)\nsignature('shop.pay', (3,)).delay()")

    assert shop.depths() == {"celery": (2, 0, 0, 0)}


def test_what_the_program_raises_is_shown(command, shop):
    with pytest.raises(ZeroDivisionError):
        command("shell", answer="1 / 0")


def test_the_names_of_tasks_can_be_left_out(shop):
    names = namespace(shop.app, with_tasks=False)

    assert "pay" not in names
    assert names["tasks"] is shop.app.tasks
    assert "pay" in namespace(shop.app, with_tasks=True)


def test_what_this_version_does_not_have_is_left_out(shop):
    names = namespace(shop.app, with_tasks=True)

    assert {"Task", "AsyncResult", "signature", "subtask"} < names.keys()
    assert None not in names.values()


@pytest.mark.parametrize(("flag", "library"), [("-I", "IPython"), ("-B", "bpython")])
def test_a_shell_that_is_not_installed_is_named(command, shop, monkeypatch, flag, library):
    monkeypatch.setitem(sys.modules, library, None)
    monkeypatch.setattr("celeriac.cli.shell._is_interactive", lambda: True)

    run = command("shell", flag)

    assert run.code == 2
    assert f"{flag} needs {library}, which is not installed: pip install" in run.err


@pytest.mark.parametrize("flag", ["--gevent", "--eventlet"])
def test_green_shells_are_to_come(command, shop, flag):
    assert f"{flag} comes with green pools" in command("shell", flag).err
