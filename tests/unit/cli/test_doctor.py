from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest

from celeriac.app.application import Celery
from celeriac.brokers.base import Incarnation
from celeriac.brokers.sqlite import SqliteBroker
from celeriac.exceptions import SettingWithoutEffect

FAR_AHEAD = float("inf")


@pytest.fixture
def database(tmp_path):
    """A database that a worker and a client have used."""
    path = tmp_path / "q.sqlite3"
    app = Celery(broker=f"sqlite:///{path}", set_as_current=False)
    app.send_task("shop.pay")
    app.close()
    return path


def found(run, subject):
    return [finding["found"] for finding in run.document["findings"] if finding["subject"] == subject]


def problems(run):
    return {f["subject"]: f["problem"] for f in run.document["findings"] if f["problem"] is not None}


def test_a_healthy_installation_ends_with_0(command, shop):
    run = command("doctor", "--json")

    assert run.code == 0
    assert run.document["healthy"] is True
    assert problems(run) == {}
    assert found(run, "app") == ["shop_of_the_cli_tests, 2 tasks"]
    assert found(run, "sqlite") == [sqlite3.sqlite_version]


def test_for_people_each_finding_is_a_line_and_the_verdict_is_talk(command, shop):
    run = command("doctor")

    assert all(line.startswith("ok ") for line in run.out.splitlines())
    assert run.err == "Everything is in order.\n"


def test_a_broken_app_is_a_problem_and_the_rest_is_still_checked(command, database):
    run = command("doctor", "--json", "-A", "nowhere", "-b", f"sqlite:///{database}")

    assert run.code == 1
    assert "there is no module 'nowhere'" in problems(run)["app"]
    assert found(run, "integrity") == ["ok"]


def test_an_app_that_raises_when_it_is_imported_is_a_problem(command, tmp_path, monkeypatch):
    (tmp_path / "raising_app.py").write_text("1 / 0\n")

    run = command("doctor", "--json", "-A", "raising_app")

    assert run.code == 1
    assert list(problems(run)) == ["app"]
    assert problems(run)["app"].endswith("ZeroDivisionError: division by zero")


def test_an_app_that_exits_when_it_is_imported_is_a_problem(command, tmp_path):
    (tmp_path / "exiting_app.py").write_text("import sys\nsys.exit(3)\n")

    run = command("doctor", "--json", "-A", "exiting_app")

    assert run.code == 1
    assert problems(run)["app"].endswith("SystemExit: 3")


def test_no_app_is_no_problem_when_none_was_named(command, database):
    run = command("doctor", "--json", "-b", f"sqlite:///{database}")

    assert run.code == 0
    assert found(run, "app") == ["none"]


def test_the_database_is_examined_from_outside_and_inside(command, database):
    run = command("doctor", "--json", "-b", f"sqlite:///{database}")

    assert found(run, "file")[0].startswith(f"{database}, mode 0600, owner ")
    assert found(run, "journal mode") == ["wal"]
    assert found(run, "integrity") == ["ok"]
    assert found(run, "node") == ["none is running"]
    assert found(run, "queues") == ["1 with messages: 1 ready, 0 delayed, 0 claimed, 0 dead"]


async def test_nodes_that_are_registered_are_named(command, database):
    consumer = SqliteBroker(database).consumer(Incarnation.begin("w1@here"))
    await consumer.open()

    run = command("doctor", "--json", "-b", f"sqlite:///{database}")

    await consumer.close()
    assert found(run, "node")[0].startswith("w1@here, pid ")


def test_a_file_that_others_may_read_is_a_problem_with_its_cure(command, database):
    database.chmod(0o644)

    run = command("doctor", "-b", f"sqlite:///{database}")

    assert run.code == 1
    assert f"chmod 600 {database}" in run.out
    assert run.err == "1 problem.\n"


def test_a_file_that_is_no_database_is_a_problem(command, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database at all, but long enough to be taken for one " * 20)
    path.chmod(0o600)

    run = command("doctor", "--json", "-b", f"sqlite:///{path}")

    assert run.code == 1
    assert "damaged or no SQLite database" in problems(run)["broker"]


def test_a_damaged_database_is_a_problem(command, database):
    content = bytearray(database.read_bytes())
    content[4096:8192] = b"\xaa" * 4096
    database.write_bytes(content)

    run = command("doctor", "--json", "-b", f"sqlite:///{database}")

    assert run.code == 1
    assert problems(run)


def test_a_file_that_is_not_there_yet_is_not_made(command, tmp_path):
    path = tmp_path / "q.sqlite3"

    run = command("doctor", "--json", "-b", f"sqlite:///{path}")

    assert run.code == 0
    assert found(run, "file") == [f"{path} is not there yet; the first use makes it"]
    assert not path.exists()


def test_a_folder_that_is_not_there_is_a_problem(command, tmp_path):
    run = command("doctor", "--json", "-b", f"sqlite:///{tmp_path}/missing/q.sqlite3")

    assert run.code == 1
    assert "create the folder" in problems(run)["file"]


def test_a_url_that_means_nothing_is_a_problem(command):
    run = command("doctor", "--json", "-b", "carrier-pigeon://loft")

    assert run.code == 1
    assert "carrier-pigeon" in problems(run)["broker"]


def test_settings_are_listed_when_they_are_not_at_their_defaults(command, shop):
    shop.app.conf.update(task_default_queue="mail")

    run = command("doctor", "--json")

    assert "task_default_queue = 'mail' (conf.update)" in found(run, "setting")
    assert all("task_track_started" not in line for line in found(run, "setting"))


def test_passwords_in_settings_are_not_shown(command, shop):
    shop.app.conf.finalize()
    with pytest.warns(SettingWithoutEffect):
        shop.app.conf.update(cassandra_auth_kwargs={"password": "hunter2"}, s3_bucket="cache")

    run = command("doctor")

    assert "hunter2" not in run.out
    assert "s3_bucket = 'cache' (conf.update), without effect in this version" in run.out


def test_settings_that_cannot_be_read_are_a_problem(command, shop, monkeypatch):
    monkeypatch.setenv("CELERIAC_TASK_MAX_CRASHES", "many")

    run = command("doctor", "--json")

    assert run.code == 1
    assert "task_max_crashes must be a whole number >= 1" in problems(run)["settings"]


def test_a_redis_that_keeps_its_messages_is_in_order(command, redis_server):
    server = redis_server("--appendonly", "yes")

    run = command("doctor", "--json", "-b", server.url(0), "--result-backend", server.url(1))

    assert run.code == 0
    assert found(run, "broker") == [server.url(0)]
    assert len(found(run, "redis")) == 1  # broker and results are one server
    assert "appendonly, fsync everysec, noeviction" in found(run, "redis")[0]
    assert found(run, "queues") == ["0 with messages: 0 ready, 0 delayed, 0 claimed, 0 dead"]


def test_a_redis_that_may_forget_messages_is_a_problem_with_its_cure(command, redis_server):
    server = redis_server("--save", "", "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru")

    run = command("doctor", "-b", server.url())

    assert run.code == 1
    assert "redis-cli CONFIG SET maxmemory-policy noeviction" in run.out
    assert "it writes nothing to disk: a restart loses all messages" in run.out
    assert run.err == "2 problems.\n"


def test_a_redis_of_results_alone_is_looked_at_as_such(command, database, redis_server):
    server = redis_server("--save", "", "--appendonly", "no")

    run = command("doctor", "-b", f"sqlite:///{database}", "--result-backend", server.url())

    assert run.code == 1
    assert "a restart loses all results" in run.out


def test_a_redis_that_does_not_answer_is_a_problem_without_a_password(command):
    run = command("doctor", "--json", "-b", "redis://:hunter2@127.0.0.1:1/0")

    assert run.code == 1
    assert "127.0.0.1:1" in problems(run)["broker"]
    assert "hunter2" not in run.out


def test_missing_packages_are_a_problem_that_names_the_extra(tmp_path):
    arguments = ["doctor", "-b", "redis://localhost/0"]
    program = (
        f"import sys; sys.modules['redis'] = None; from celeriac.cli.main import main; sys.exit(main({arguments}))"
    )

    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=30)

    assert done.returncode == 1
    assert 'pip install "celeriac[redis]"' in done.stdout
    assert "Traceback" not in done.stderr
