from __future__ import annotations

import asyncio
import io
import logging
import sys
import threading

import pytest

from celeriac.app.context import Context, entered
from celeriac.app.redirecting import LoggedStream, flush_output


@pytest.fixture
def stream(caplog):
    logger = logging.getLogger("redirected.in.tests")
    caplog.set_level(logging.WARNING, logger=logger.name)
    return LoggedStream(io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), logger, logging.WARNING)


def test_each_line_becomes_one_record(stream, caplog):
    print("one", 1, file=stream)
    print("two\n\nthree", file=stream)

    assert caplog.messages == ["one 1", "two", "three"]
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_what_has_no_end_of_line_is_logged_when_it_is_flushed(stream, caplog):
    print("begun", end="", file=stream)
    before = list(caplog.messages)

    stream.flush()
    stream.flush()

    assert (before, caplog.messages) == ([], ["begun"])


def test_percent_signs_are_only_text(stream, caplog):
    print("100 %s", file=stream)

    assert caplog.messages == ["100 %s"]


def test_a_handler_that_prints_does_not_go_round_in_circles(stream, caplog):
    class Printing(logging.Handler):
        def emit(self, record):
            print("again", file=stream)

    handler = Printing()
    logger = logging.getLogger("redirected.in.tests")
    logger.addHandler(handler)
    print("once", file=stream)
    logger.removeHandler(handler)

    assert caplog.messages == ["once"]


def test_a_stream_that_a_body_has_replaced_is_left_alone(stream, caplog, monkeypatch):
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", None)
    stream.write("begun")

    flush_output()

    assert caplog.messages == ["begun"]


def test_binary_data_go_to_the_original(stream):
    stream.buffer.write(b"\x00\x01")

    assert stream.buffer.getvalue() == b"\x00\x01"
    assert not stream.isatty()


def test_threads_do_not_mix_their_lines(stream, caplog):
    stream.write("here ")
    thread = threading.Thread(target=stream.write, args=("there\n",))
    thread.start()
    thread.join()

    stream.write("still\n")

    assert caplog.messages == ["there", "here still"]


def test_coroutines_of_two_runs_do_not_mix_their_lines(stream, caplog):
    async def body(number: int) -> None:
        with entered(Context(id=str(number), called_directly=False)):
            stream.write(f"{number} begins ")
            await asyncio.sleep(0)
            stream.write("and ends\n")

    async def both() -> None:
        await asyncio.gather(body(1), body(2))

    asyncio.run(both())

    assert caplog.messages == ["1 begins and ends", "2 begins and ends"]


def test_the_end_of_a_run_logs_what_that_run_has_begun_and_no_other(stream, caplog):
    stream.write("outside")
    with entered(Context(id="1", called_directly=False)):
        stream.write("inside")
        stream.flush()

    assert caplog.messages == ["inside"]
    stream.flush()
    assert caplog.messages == ["inside", "outside"]
