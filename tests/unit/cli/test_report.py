from __future__ import annotations

from pathlib import Path


def test_a_report_says_what_is_installed_and_set_and_no_password(command, shop):
    shop.app.conf.result_backend = "redis://:hunter2@cache:6379/0"

    run = command("report")

    assert run.code == 0
    assert run.out.startswith("software -> celeriac:")
    assert "app      -> shop, tasks:2" in run.out
    assert "redis://:********@cache:6379/0" in run.out
    assert "hunter2" not in run.out + run.err


def test_a_module_that_cannot_be_imported_is_part_of_the_report(command, tmp_path: Path):
    (tmp_path / "tasks.py").write_text(
        "from celeriac import Celery\napp = Celery('shop', include=['not_there_at_all'])\n"
    )

    run = command("-A", "tasks", "report")

    assert run.code == 0
    assert "not_there_at_all" in run.err
    assert "app      -> shop" in run.out
