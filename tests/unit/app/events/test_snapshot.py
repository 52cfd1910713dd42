from __future__ import annotations

import io
import threading
from uuid import uuid4

import pytest

from celeriac import Celery
from celeriac.app.events.dumper import Dumper
from celeriac.app.events.snapshot import Polaroid, camera_named
from celeriac.app.events.state import State
from celeriac.exceptions import ImproperlyConfigured


class Camera(Polaroid):
    """Count."""

    clear_after = True

    def __init__(self, state: State, **options) -> None:
        super().__init__(state, **options)
        self.taken = 0
        self.cleaned = 0
        self.enough = threading.Event()

    def on_shutter(self, state: State) -> None:
        self.taken += 1
        if self.taken >= 3:
            self.enough.set()
        if self.taken == 1:
            raise ValueError("the first one fails")

    def on_cleanup(self) -> None:
        self.cleaned += 1


@pytest.fixture
def app():
    with Celery("shop", broker=f"memory://{uuid4()}", set_as_current=False) as app:
        yield app


def test_a_camera_looks_again_and_again_whatever_happens(app, caplog):
    with Camera(State(), freq=0.01, app=app) as camera:
        assert camera.enough.wait(60)

    assert "a camera failed" in caplog.text
    taken = camera.taken
    camera.cancel()
    assert camera.taken <= taken + 1


def test_what_has_ended_is_forgotten_after_a_snapshot(app):
    state = State()
    state.event({"type": "task-succeeded", "uuid": "id-1", "hostname": "w1@here", "timestamp": 1.0, "clock": 1})
    camera = Camera(state, app=app)
    camera.taken = 1

    camera.capture()

    assert not state.tasks


def test_a_rate_keeps_snapshots_apart(app):
    camera = Camera(State(), maxrate="1/h", app=app)
    camera.taken = 1

    camera.capture()
    camera.capture()

    assert camera.taken == 2


def test_old_snapshots_are_cleaned_up(app):
    camera = Camera(State(), app=app)

    camera.cleanup()

    assert camera.cleaned == 1


@pytest.mark.parametrize(
    "path", ["nonesuch.Camera", "celeriac.app.events.state.State", "celeriac.app.events.snapshot.Nonesuch", "Camera"]
)
def test_what_is_no_camera_is_refused(path):
    with pytest.raises(ImproperlyConfigured, match="camera"):
        camera_named(path)


def test_a_camera_is_found_by_its_path():
    assert camera_named("celeriac.app.events.snapshot.Polaroid") is Polaroid


def test_lines_name_the_task_and_move_no_cursor():
    out = io.StringIO()
    dumper = Dumper(out)
    common = {"hostname": "w1@here", "timestamp": 0.0, "clock": 1}

    dumper.on_event(common | {"type": "task-received", "uuid": "id-1", "name": "add", "args": "(1,)", "kwargs": "{}"})
    dumper.on_event(common | {"type": "task-failed", "uuid": "id-1", "exception": "\x1b[2J\nboo"})
    dumper.on_event(common | {"type": "worker-online", "freq": 2.0})

    first, second, third = out.getvalue().splitlines()
    assert first.endswith("task-received add(id-1) args=(1,) kwargs={}")
    assert "task-failed add(id-1) exception=" in second
    assert "\x1b" not in second
    assert third.endswith("worker-online freq=2.0")
