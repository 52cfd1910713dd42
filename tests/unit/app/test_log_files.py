from __future__ import annotations

import logging
import multiprocessing
from pathlib import Path

from celeriac.app.log_files import file_handler

LINES = 200


def write_many(path: str, word: str) -> None:
    handler = file_handler(path)
    handler.setFormatter(logging.Formatter("%(message)s"))
    for number in range(LINES):
        handler.emit(logging.makeLogRecord({"msg": f"{word}-{number}:" + word * 20_000}))
    handler.close()


def test_lines_of_several_processes_do_not_mix(tmp_path: Path):
    path = tmp_path / "node.log"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=write_many, args=(str(path), word)) for word in "abc"]

    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)

    lines = path.read_text().splitlines()
    assert len(lines) == 3 * LINES
    assert {line.partition(":")[2] for line in lines} == {word * 20_000 for word in "abc"}


def test_a_file_that_was_moved_away_is_made_anew(tmp_path: Path):
    path = tmp_path / "node.log"
    handler = file_handler(str(path))

    handler.emit(logging.makeLogRecord({"msg": "old"}))
    path.rename(tmp_path / "node.log.1")
    handler.emit(logging.makeLogRecord({"msg": "new"}))
    handler.close()

    assert (tmp_path / "node.log.1").read_text() == "old\n"
    assert path.read_text() == "new\n"


def test_text_that_is_no_unicode_is_written_all_the_same(tmp_path: Path):
    path = tmp_path / "node.log"
    handler = file_handler(str(path))

    handler.emit(logging.makeLogRecord({"msg": "x\udc80"}))
    handler.close()

    assert path.read_text() == "x\\udc80\n"
