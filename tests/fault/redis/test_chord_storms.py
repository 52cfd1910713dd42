"""Nodes are killed while they work on many chords: each comes to its body or to its errback."""

from __future__ import annotations

import pytest

from tests.fault.chords import CHORDS, MEMBERS, Chords

pytestmark = [pytest.mark.fault, pytest.mark.serial, pytest.mark.timeout(900)]


def test_every_chord_comes_to_one_end(redis_server, project_on, tell):
    chords = Chords(project_on(redis_server()))

    storm = chords.rage()

    tell(f"{CHORDS} chords of {MEMBERS}, {storm.kills} kills, {storm.hits} of them of a busy node")
    assert (chords.published("bodies"), chords.published("errors")) == chords.expected()
    chords.end()


def test_every_chord_comes_to_its_end_across_two_servers(redis_server, project_on, tell):
    """Where no script spans both, a node that dies between its steps may publish again what has its id already."""
    chords = Chords(project_on(redis_server(), results_on=redis_server()))

    storm = chords.rage()

    bodies, errors = chords.published("bodies"), chords.published("errors")
    again = bodies.total() + errors.total() - CHORDS
    tell(
        f"{CHORDS} chords of {MEMBERS}, {storm.kills} kills, {storm.hits} of a busy node, {again} ends published again"
    )
    assert (set(bodies), set(errors)) == tuple(map(set, chords.expected()))
    assert again <= storm.hits
    chords.end(again)
