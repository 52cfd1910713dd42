from __future__ import annotations

import fcntl
import os
import signal
from pathlib import Path

import pytest

from celeriac.brokers.sqlite.owners import CELLS, DeadOwner, OwnerFile, remove_files, started_by


@pytest.fixture
def database(tmp_path: Path) -> Path:
    return tmp_path / "work.db"


@pytest.fixture
def owner(database: Path):
    made = OwnerFile(database, 7)
    yield made
    made.close(remove=True)


def test_an_owner_who_lives_cannot_be_taken_for_dead(database: Path, owner: OwnerFile):
    assert DeadOwner.take(database, 7) is None


def test_who_has_no_file_cannot_be_judged_by_it(database: Path):
    assert DeadOwner.take(database, 99) is None
    assert started_by(database, 99) == set()


def test_what_a_dead_owner_had_started_can_be_read(database: Path, owner: OwnerFile):
    for tag in (10, 11, 12):
        owner.note(tag)
    owner.note(11)
    owner.erase(12)
    owner.erase(99)
    owner.close(remove=False)

    dead = DeadOwner.take(database, 7)

    assert dead is not None
    assert dead.started() == {10, 11}
    dead.close(remove=True)


def test_a_process_that_is_killed_is_dead_at_once_and_its_notes_outlive_it(database: Path):
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        made = OwnerFile(database, 8)
        made.note(42)
        os.write(write, b"x")
        signal.pause()
        os._exit(0)
    os.read(read, 1)
    alive = DeadOwner.take(database, 8)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)

    dead = DeadOwner.take(database, 8)

    assert alive is None
    assert dead is not None
    assert dead.started() == {42}
    dead.close(remove=True)
    os.close(read)
    os.close(write)


def test_only_one_recovers_from_a_dead_owner_at_a_time(database: Path, owner: OwnerFile):
    owner.close(remove=False)
    first = DeadOwner.take(database, 7)

    second = DeadOwner.take(database, 7)

    assert first is not None
    assert second is None
    first.close(remove=True)


def test_the_notes_of_an_owner_who_stands_still_can_be_read_beside_it(database: Path, owner: OwnerFile):
    owner.note(5)

    assert started_by(database, 7) == {5}


def test_more_than_there_is_room_for_is_not_noted_and_room_is_used_again(database: Path, owner: OwnerFile):
    for tag in range(1, CELLS + 100):
        owner.note(tag)
    for tag in range(1, 51):
        owner.erase(tag)
    owner.note(CELLS + 1_000)

    started = started_by(database, 7)

    assert len(started) == CELLS - 49
    assert CELLS + 1_000 in started
    assert 1 not in started


def test_what_an_owner_of_the_same_number_left_behind_is_not_inherited(database: Path, owner: OwnerFile):
    """After its database was deleted, numbers begin anew while the folder of the files is still there."""
    owner.note(5)
    owner.close(remove=False)

    successor = OwnerFile(database, 7)

    assert started_by(database, 7) == set()
    successor.close(remove=True)


def test_files_are_for_their_owner_alone(database: Path, owner: OwnerFile):
    folder = Path(f"{database}-owners")

    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "7").stat().st_mode & 0o777 == 0o600


def test_a_file_may_be_closed_twice(database: Path, owner: OwnerFile):
    owner.close(remove=True)
    owner.close(remove=True)

    assert not (Path(f"{database}-owners") / "7").exists()


def test_who_cleans_up_takes_nobody_for_dead_who_is_just_registering(database: Path, monkeypatch):
    """Its row cannot be seen yet, so only the lock speaks for it, and that comes a moment after the file."""
    flock = fcntl.flock

    def clean_up_first(descriptor: int, operation: int) -> None:
        monkeypatch.setattr("fcntl.flock", flock)
        remove_files(database, but=[])
        flock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", clean_up_first)
    made = OwnerFile(database, 7)

    remove_files(database, but=[])

    assert DeadOwner.take(database, 7) is None
    assert [path.name for path in Path(f"{database}-owners").iterdir()] == ["7"]
    made.close(remove=True)
