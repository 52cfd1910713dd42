"""A node that runs more bodies at once while messages wait, and fewer when there is little to do."""

from __future__ import annotations

import threading

import pytest

from celeriac.exceptions import ImproperlyConfigured
from celeriac.worker import autoscale
from celeriac.worker.autoscale import CELERYS, Autoscaler, Autoscaling, find_autoscaler
from celeriac.worker.resizing import Resizing
from celeriac.worker.slots import Slots
from tests.unit.worker.crew import Children, held, numbers, send, started, until


def scaler_of(slots: Slots, kind: type[Autoscaler] = Autoscaler, *, most: int = 4, least: int = 1) -> Autoscaler:
    return kind(Resizing(slots, lambda concurrency: (1,) * concurrency), most, least)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoscale, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(autoscale, "WAITS_AFTER", 0.001)
    monkeypatch.setenv("AUTOSCALE_KEEPALIVE", "0.05")


@pytest.mark.usefixtures("soon")
async def test_it_grows_by_what_waits_and_shrinks_to_what_runs(children: Children):
    slots = await started(children, 1)
    scaling = Autoscaling(scaler_of(slots), slots)
    scaling.start()
    send(slots, *(held(number) for number in range(1, 4)))

    scaling.note_waiting()
    await until(lambda: sum(slot.load for slot in slots.slots) == 3)
    grown = scaling.scaler.info()
    runs = {child.slot.number: children.read(child.slot.number) for child in slots.lives.crew()}
    busy, *idle = runs
    for number in idle:
        children.answer(number, runs[number])
    await until(lambda: sum(slots.capacities) == 1)
    await scaling.stop()

    assert grown == {"max": 4, "min": 1, "current": 3, "qty": 3}
    assert sorted(numbers(children.ended)) == sorted(runs[number].number for number in idle)
    assert [child.slot.number for child in slots.lives.crew()] == [busy]
    assert scaling.scaler.info() == {"max": 4, "min": 1, "current": 1, "qty": 1}


@pytest.mark.usefixtures("soon")
async def test_what_waits_for_a_moment_only_makes_no_node_larger(children: Children):
    slots = await started(children, 1)
    scaling = Autoscaling(scaler_of(slots), slots)
    send(slots, held(1), held(2))
    looked: list[int] = []
    scaling.scaler.maybe_scale = lambda req=None: looked.append(slots.unanswered)  # type: ignore[method-assign]

    scaling.note_waiting()
    children.answer(0, children.read(0))
    await until(lambda: slots.unanswered == 1)
    scaling.start()
    await until(lambda: len(looked) > 1)
    await scaling.stop()

    assert set(looked) == {1}


async def test_new_bounds_hold_at_once(children: Children):
    slots = await started(children, 1, 1)
    scaling = Autoscaling(scaler_of(slots), slots)

    grown = scaling.scaler.update(max=6, min=4)
    size = sum(slots.capacities)
    shrunk = scaling.scaler.update(max=3, min=0)

    assert (grown, size) == ((6, 4), 4)
    assert (shrunk, sum(slots.capacities)) == ((3, 0), 3)
    assert (scaling.scaler.spare, scaling.scaler.update(min=1)) == (0, (3, 1))
    with pytest.raises(ValueError, match="min must be from 0 to max, which is 3"):
        scaling.scaler.update(min=5)
    assert sum(slots.capacities) == 3


class Generous(Autoscaler):
    """Decide as classes do that extend Celery's."""

    threads: list[threading.Thread]

    def _maybe_scale(self, req: object = None) -> bool:
        self.threads = [threading.current_thread()]
        if self.processes < self.max_concurrency:
            self.scale_up(self.max_concurrency - self.processes)
        return True


@pytest.mark.usefixtures("soon")
async def test_a_class_of_users_decides_in_a_thread_and_the_loop_does_it(children: Children):
    slots = await started(children, 1)
    scaling = Autoscaling(scaler_of(slots, Generous, most=3), slots)

    scaling.start()
    await until(lambda: sum(slots.capacities) == 3)
    await scaling.stop()

    assert isinstance(scaling.scaler, Generous)
    assert scaling.scaler.threads != [threading.current_thread()]


class Broken(Autoscaler):
    looks = 0

    def _maybe_scale(self, req: object = None) -> bool:
        self.looks += 1
        raise LookupError("no more")


@pytest.mark.usefixtures("soon")
async def test_one_that_fails_is_logged_once_and_asked_again(children: Children, caplog: pytest.LogCaptureFixture):
    slots = await started(children, 1)
    scaling = Autoscaling(scaler_of(slots, Broken), slots)

    scaling.start()
    await until(lambda: isinstance(scaling.scaler, Broken) and scaling.scaler.looks > 2)
    await scaling.stop()

    assert [record.getMessage().partition(";")[0] for record in caplog.records] == ["the autoscaler failed"]
    assert sum(slots.capacities) == 1


def test_the_class_is_found_by_its_path():
    assert find_autoscaler(CELERYS) is Autoscaler
    assert find_autoscaler(f"{__name__}:Generous") is Generous
    assert find_autoscaler(Generous) is Generous


@pytest.mark.parametrize("named", ["collections:OrderedDict", "nowhere:Autoscaler", dict])
def test_what_is_no_autoscaler_is_refused(named: str | type):
    with pytest.raises(ImproperlyConfigured, match="worker_autoscaler"):
        find_autoscaler(named)
