from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from celeriac.brokers.sqlite import place
from celeriac.brokers.sqlite.place import file_system_of, open_beside, prepare, translate
from celeriac.exceptions import BrokerFull, BrokerUnavailable, ImproperlyConfigured

MOUNTS = """\
22 1 0:20 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
31 22 0:27 / /mnt/share rw,relatime shared:9 - nfs4 server:/share rw
32 22 0:28 / /mnt/my\\040disk rw shared:9 master:2 - cifs //server/disk rw
33 31 0:29 / /mnt/share/local rw - tmpfs tmpfs rw
34 22 0:30 / /home/sshfs rw - fuse.sshfs host:/ rw
"""


@pytest.fixture
def mountinfo(tmp_path: Path) -> Path:
    path = tmp_path / "mountinfo"
    path.write_text(MOUNTS)
    return path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/work.db", "ext4"),
        ("/mnt/share/work.db", "nfs4"),
        ("/mnt/share/local/work.db", "tmpfs"),
        ("/mnt/sharepoint/work.db", "ext4"),
        ("/mnt/my disk/work.db", "cifs"),
        ("/home/sshfs/work.db", "fuse.sshfs"),
    ],
)
def test_the_innermost_mount_tells_the_file_system(mountinfo: Path, path, kind):
    assert file_system_of(Path(path), mountinfo) == kind


def test_a_machine_that_does_not_tell_its_mounts_is_trusted(tmp_path: Path):
    assert file_system_of(tmp_path, tmp_path / "nothing") == ""


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "virtiofs", "fuse.sshfs"])
def test_a_network_file_system_is_refused_with_what_to_do(tmp_path: Path, monkeypatch, kind):
    monkeypatch.setattr(place, "file_system_of", lambda path: kind)

    with pytest.raises(ImproperlyConfigured, match=rf"work\.db is on a network file system \({kind}\).*local disk"):
        prepare(tmp_path / "work.db")


def test_a_sqlite_that_is_too_old_is_refused_with_what_to_do(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    with pytest.raises(ImproperlyConfigured, match=r"SQLite 3\.34\.1; celeriac needs 3\.35"):
        prepare(tmp_path / "work.db")


def test_a_new_file_is_for_its_owner_alone_whatever_the_mask(tmp_path: Path):
    old = os.umask(0)
    try:
        prepare(tmp_path / "work.db")
    finally:
        os.umask(old)

    assert (tmp_path / "work.db").stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_there_keeps_its_mode_and_its_side_files_get_it(tmp_path: Path):
    path = tmp_path / "work.db"
    path.touch()
    path.chmod(0o660)

    prepare(path)
    os.close(open_beside(path, "-lock"))

    assert path.stat().st_mode & 0o777 == 0o660
    assert Path(f"{path}-lock").stat().st_mode & 0o777 == 0o660


def test_a_side_file_that_cannot_be_opened_is_named(tmp_path: Path):
    path = tmp_path / "work.db"
    prepare(path)
    Path(f"{path}-lock").mkdir()

    with pytest.raises(BrokerUnavailable, match=r"work\.db-lock.*Is a directory"):
        open_beside(path, "-lock")


def test_a_folder_that_is_not_there_is_named_with_the_command_that_makes_it(tmp_path: Path):
    with pytest.raises(BrokerUnavailable, match=f"mkdir -p {tmp_path}/a/b"):
        prepare(tmp_path / "a" / "b" / "work.db")


def test_a_file_of_another_user_is_named_with_the_command_that_gives_access(tmp_path: Path, monkeypatch):
    path = tmp_path / "work.db"
    path.touch()
    monkeypatch.setattr(os, "access", lambda *args: False)
    monkeypatch.setattr(os, "geteuid", lambda: path.stat().st_uid + 1)

    with pytest.raises(BrokerUnavailable, match=rf"work\.db is user {path.stat().st_uid}'s file.*chown"):
        prepare(path)


def error(code: int) -> sqlite3.Error:
    made = sqlite3.OperationalError("what SQLite says")
    made.sqlite_errorcode = code
    return made


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (sqlite3.SQLITE_FULL, BrokerFull, "free some space"),
        (sqlite3.SQLITE_BUSY, BrokerUnavailable, "locked"),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, BrokerUnavailable, "locked"),
        (sqlite3.SQLITE_CORRUPT, BrokerUnavailable, r"\.recover"),
        (sqlite3.SQLITE_CORRUPT_INDEX, BrokerUnavailable, r"\.recover"),
        (sqlite3.SQLITE_NOTADB, BrokerUnavailable, "no SQLite database"),
        (sqlite3.SQLITE_READONLY, BrokerUnavailable, "mode and owner"),
        (sqlite3.SQLITE_CANTOPEN, BrokerUnavailable, "mode and owner"),
        (sqlite3.SQLITE_IOERR, BrokerUnavailable, "what SQLite says"),
    ],
)
def test_an_error_of_sqlite_names_the_file_what_was_done_and_what_to_do(code, kind, words):
    translated = translate(error(code), Path("/data/work.db"), "publishing")

    assert type(translated) is kind
    assert "/data/work.db" in str(translated)
    assert "publishing" in str(translated)
    with pytest.raises(kind, match=words):
        raise translated
