"""Nodes are killed while they work on many chords: each comes to its body or to its errback, once."""

from __future__ import annotations

import pytest

from tests.fault.chords import CHORDS, MEMBERS, Chords
from tests.integration.project import Project

pytestmark = [pytest.mark.fault, pytest.mark.serial, pytest.mark.timeout(900), pytest.mark.engines("sqlite")]


def test_every_chord_comes_to_one_end(project: Project, tell):
    chords = Chords(project)

    storm = chords.rage()

    tell(f"{CHORDS} chords of {MEMBERS}, {storm.kills} kills, {storm.hits} of them of a busy node")
    assert (chords.published("bodies"), chords.published("errors")) == chords.expected()
    chords.end()
