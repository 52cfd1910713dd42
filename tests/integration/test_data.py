"""Calls and results in every form go through real workers, and what is not accepted does no harm."""

from __future__ import annotations

import pickle
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from celeriac.app.result import AsyncResult
from celeriac.exceptions import ContentDisallowed, DecodeError
from celeriac.ids import new_id
from celeriac.message import Message
from celeriac.wire.protocol import Call, write_message
from tests.integration.project import Project, opened, wait_until

MIB = 1024 * 1024
VALUE: dict[str, Any] = {"a": [1, 2.5, None, True], "é": "x" * 500}
TAKES_ALL = """
app.conf.update(accept_content=["json", "msgpack", "yaml", "pickle"], accept_pickle_from=["trusted"])
"""


def publish(project: Project, *messages: Message) -> list[AsyncResult[Any]]:
    project.app.sender.publish(messages)
    return [project.app.AsyncResult(message.task_id) for message in messages]


def message_of(value: Any, *, task: str = "tasks.echo", queue: str = "celery", **form: Any) -> Message:
    return write_message(Call(task=task, id=new_id(), queue=queue, args=(value,), **form), origin="test")


@pytest.fixture(scope="module")
def taking_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    with opened(tmp_path_factory.mktemp("data")) as project:
        project.use_also(TAKES_ALL)
        project.start("-Q", "celery,trusted")
        yield project


@pytest.mark.parametrize("compression", [None, "gzip", "bzip2", "lzma", "zstd", "brotli"])
@pytest.mark.parametrize("serializer", ["json", "msgpack", "yaml", "pickle"])
def test_a_call_in_any_accepted_form_runs(taking_all: Project, serializer: str, compression: str | None):
    queue = "trusted" if serializer == "pickle" else "celery"
    message = message_of(VALUE, queue=queue, serializer=serializer, compression=compression)

    [result] = publish(taking_all, message)

    assert result.get(timeout=60) == VALUE


class Touch:
    """Make a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_a_pickle_of_another_queue_is_a_dead_letter_and_is_not_unpickled(taking_all: Project, tmp_path: Path):
    [result] = publish(taking_all, message_of(Touch(tmp_path / "owned"), serializer="pickle"))

    with pytest.raises(ContentDisallowed, match="its queue 'celery' is not in accept_pickle_from"):
        result.get(timeout=60)

    assert not (tmp_path / "owned").exists()
    assert any("accept_pickle_from" in reason for reason in taking_all.dead_reasons())


def test_a_pickle_of_protocol_1_is_not_unpickled_to_decide_on_it(taking_all: Project, tmp_path: Path):
    body = pickle.dumps({"task": "tasks.echo", "id": "old", "args": [Touch(tmp_path / "owned")], "kwargs": {}})
    old = Message(
        task_id="old", queue="trusted", headers=b"{}", body=body, content_type="application/x-python-serialize"
    )

    [result] = publish(taking_all, old)

    with pytest.raises(ContentDisallowed, match="protocol 1"):
        result.get(timeout=60)
    assert not (tmp_path / "owned").exists()


def test_a_bomb_is_a_dead_letter_and_its_child_goes_on(taking_all: Project):
    message = message_of(1, compression="gzip")
    compressor = zlib.compressobj(9)
    bomb = b"".join([*(compressor.compress(bytes(MIB)) for _ in range(300)), compressor.flush()])

    [result] = publish(taking_all, Message(**{**_fields(message), "body": bomb}))

    with pytest.raises(DecodeError, match="more than 16777216 when decompressed"):
        result.get(timeout=60)
    assert taking_all.call("add", 1, 2).get(timeout=60) == 3
    assert "died" not in taking_all.nodes[0].log


def _fields(message: Message) -> dict[str, Any]:
    return {name: getattr(message, name) for name in Message.__struct_fields__}


def test_what_a_project_does_not_accept_is_a_dead_letter_that_names_the_setting(project: Project):
    project.start()

    results = publish(project, message_of(VALUE, serializer="msgpack"), message_of(VALUE, serializer="yaml"))

    for result, kind in zip(results, ("x-msgpack", "x-yaml"), strict=True):
        with pytest.raises(ContentDisallowed, match=rf"'application/{kind}', not in accept_content \['json'\]"):
            result.get(timeout=60)


@pytest.mark.parametrize(
    ("serializer", "compression"), [("msgpack", None), ("yaml", "zstd"), ("pickle", None), ("json", "gzip")]
)
def test_results_of_all_kinds_are_kept_in_the_form_that_was_asked_for(project: Project, serializer, compression):
    form = {
        "result_serializer": serializer,
        "result_compression": compression,
        "result_accept_content": ["json", serializer],
    }
    project.use_also(f"app.conf.update({form!r})")
    project.start()
    returned, raised = project.call("echo", VALUE), project.call("add", 1, "x")
    [refused] = publish(project, message_of(1, serializer="msgpack"))

    records = {wait_until(partial(_record, project, result))[:2] for result in (returned, raised, refused)}

    if serializer != "json":
        with pytest.raises(ContentDisallowed, match=f"add '{serializer}' there"):
            returned.get(timeout=60)
    project.app.conf.update(form)
    assert returned.get(timeout=60) == VALUE
    with pytest.raises(TypeError, match="unsupported operand"):
        raised.get(timeout=60)
    with pytest.raises(ContentDisallowed, match="not in accept_content"):
        refused.get(timeout=60)
    assert len(records) == 1
    assert b'{"' not in records


def _record(project: Project, result: AsyncResult[Any]) -> Any:
    return project.store.record(result.id)


def test_results_that_nobody_could_read_end_a_worker_before_it_starts(project: Project):
    project.use_also("app.conf.update(result_serializer='pickle', accept_content=['json', 'pickle'])")
    node = project.start(ready=False)

    assert node.wait_exit() != 0

    assert "add 'pickle' to result_accept_content" in " ".join(node.log.split())
    assert "Traceback" not in node.log
