from __future__ import annotations

import json

import pytest

TASKS = "# é\nfrom celery import shared_task\r\n\r\n@shared_task\r\ndef add(x, y):\r\n    return x + y\r\n"


@pytest.fixture
def program(command, tmp_path):
    """A program for Celery, with much around it that is not to be touched."""
    for name, text in {
        "proj/tasks.py": TASKS,
        "proj/periodic.py": "from celery.schedules import crontab\n",
        "proj/broken.py": "from celery import\n",
        ".venv/pyvenv.cfg": "",
        ".venv/lib/x.py": "from celery import Task\n",
        "env/pyvenv.cfg": "",
        "env/x.py": "from celery import Task\n",
        "requirements.txt": "flask\ncelery[redis]>=5.3  # tasks\ndjango-celery-results\n",
        "Procfile": "worker: celery -A proj worker -l INFO\nweb: gunicorn proj\n",
        "notes.md": "celery worker\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return tmp_path


def test_nothing_is_written_unless_it_is_asked_for(command, program):
    run = command("migrate-from-celery", ".")

    assert run.code == 1
    assert "proj/tasks.py:2: from celery import shared_task" in run.out
    assert "-> from celeriac import shared_task" in run.out
    assert "proj/periodic.py:1: by hand: celeriac.schedules comes with schedules and beat" in run.out
    assert "proj/broken.py:1: by hand: it is left out, for it cannot be read as Python" in run.out
    assert "requirements.txt:2: by hand: it asks for Celery" in run.out
    assert "Procfile:1: by hand: it runs celery" in run.out
    assert run.err.splitlines() == [
        "Would change 1 line in 1 file; 4 left to be done by hand.",
        "Nothing was written: look at it, then give --write.",
    ]
    assert (program / "proj/tasks.py").read_bytes() == TASKS.encode()


def test_what_is_written_is_what_was_shown(command, program):
    (program / "proj/tasks.py").chmod(0o750)

    run = command("migrate-from-celery", "proj", "--write")

    assert "Changed 1 line in 1 file; 2 left" in run.err
    assert (program / "proj/tasks.py").read_bytes() == TASKS.replace("celery", "celeriac").encode()
    assert (program / "proj/tasks.py").stat().st_mode & 0o777 == 0o750
    assert (program / "proj/periodic.py").read_text() == "from celery.schedules import crontab\n"
    assert sorted(path.name for path in (program / "proj").iterdir()) == ["broken.py", "periodic.py", "tasks.py"]
    assert (program / ".venv/lib/x.py").read_text() == (program / "env/x.py").read_text() == "from celery import Task\n"


def test_a_program_that_needs_nothing_by_hand_ends_with_0(command, program):
    assert command("migrate-from-celery", "proj/tasks.py", "--write").code == 0
    assert "Would change 0 lines in 0 files" in command("migrate-from-celery", "proj/tasks.py").err


def test_settings_that_are_named_get_their_names_of_today(command, tmp_path):
    (tmp_path / "conf.py").write_text("CELERY_TIMEZONE = 'UTC'\n")

    command("migrate-from-celery", ".", "--settings", "conf.py", "--write")

    assert (tmp_path / "conf.py").read_text() == "timezone = 'UTC'\n"


def test_a_script_can_read_it(command, program):
    told = json.loads(command("migrate-from-celery", "proj", "--json").out)

    assert told["written"] is False
    assert told["changes"] == [
        {
            "file": "proj/tasks.py",
            "line": 2,
            "before": "from celery import shared_task",
            "after": "from celeriac import shared_task",
        }
    ]
    assert [each["file"] for each in told["by_hand"]] == ["proj/broken.py", "proj/periodic.py"]
