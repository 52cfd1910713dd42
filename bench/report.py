"""One whole run: the contest, celeriac's own figures, and on what machine they were taken."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psutil

from bench import own
from bench.answering import answering
from bench.canvases import canvases
from bench.confirming import confirming
from bench.contenders import CELERIAC_RABBITMQ, CELERIAC_REDIS, Contender
from bench.contest import Ring, TrialFailed, hold
from bench.depth import depth
from bench.due import waiting
from bench.figures import Standing
from bench.finding import Finding, Section
from bench.goals import GOALS, Goals, beside_goals, beside_peers
from bench.living import importing, living
from bench.machine import Neighbours, describe
from bench.peers_venv import versions
from bench.pools import pools, replacing
from bench.pushing import pushing
from bench.slopes import slopes


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: times that each contender is measured.
        share: of the tasks that a contender gets by default.
        idle: seconds for which an idle worker is watched.
        starts: of a worker, and half those of an interpreter.
        waiting: messages that wait for their time while others become due.
        slopes: drain 1,000,000 queued messages, too.
    """

    rounds: int = 3
    share: float = 1.0
    idle: float = 10.0
    starts: int = 5
    waiting: int = 20_000
    slopes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a run has found.

    Attributes:
        command: what made it.
        machine: where, in a line or two.
        others_cores: how many cores other people's work took meanwhile; what is above 0.1 spoils figures.
        standings: of the contenders, in the order of the table.
        versions: by the name of the contender and of the distribution.
        sections: about celeriac alone, and its goals.
    """

    command: str
    machine: str
    others_cores: float
    standings: Sequence[Standing]
    versions: dict[str, dict[str, str]]
    sections: Sequence[Section]

    @property
    def complete(self) -> bool:
        """Whether all of celeriac's figures are there; what a peer could not do is not our failure."""
        troubles = [trouble for section in self.sections for trouble in section.troubles]
        return not troubles and not any(one.trouble for one in self.standings if one.contender.ours)


def measure(here: Ring, contenders: Sequence[Contender], size: Size, command: str) -> Report:
    """Hold the contest, then look at each engine of celeriac that takes part."""
    neighbours = Neighbours()
    standings = hold(here, contenders, rounds=size.rounds, share=size.share)
    sections = [_look_at(here, one, standings, size) for one in standings if one.contender.name in GOALS]
    if sections:
        sections.append(_section("celeriac, any engine", {"importing": importing(2 * size.starts + 1)}))
    return Report(
        command=command,
        machine=describe(here),
        others_cores=neighbours.cores(),
        standings=standings,
        versions={
            one.name: versions(here.python(one), one.packages) for one in contenders if here.obstacle(one) is None
        },
        sections=sections,
    )


def _look_at(here: Ring, standing: Standing, standings: Sequence[Standing], size: Size) -> Section:
    engine, goals = standing.contender, GOALS[standing.contender.name]
    measures: dict[str, Iterator[Finding]] = {}
    if standing.median:
        measures["table"] = beside_goals(standing.median, goals)
        measures["peers"] = beside_peers(standing, standings, goals)
    if standing.trouble is None:
        alone = (
            _on_rabbitmq(here, engine, goals, size)
            if engine is CELERIAC_RABBITMQ
            else _in_a_store(here, engine, goals, size)
        )
        measures |= alone
        measures["a worker's life"] = living(here, engine, idle=size.idle, starts=size.starts)
        if size.slopes and engine is not CELERIAC_RABBITMQ:
            measures["slopes"] = slopes(here, engine, size.rounds)
    return _section(engine.label, measures)


def _section(title: str, measures: dict[str, Iterator[Finding]]) -> Section:
    findings: list[Finding] = []
    troubles = []
    for subject, found in measures.items():
        print(f"{title} alone: {subject} ...", file=sys.stderr)
        try:
            findings.extend(found)
        except (TrialFailed, psutil.Error) as failure:
            troubles.append(f"{subject}: {failure}")
    return Section(title=title, findings=findings, troubles=troubles)


def _in_a_store(here: Ring, engine: Contender, goals: Goals, size: Size) -> dict[str, Iterator[Finding]]:
    bare = {"publishing beside the driver": pushing(here, engine, size.share)} if engine is CELERIAC_REDIS else {}
    return {
        "publishing": own.publishing(here, engine, goals, size.share),
        **bare,
        "dispatching": own.dispatching(here, engine, goals, size.share, size.rounds),
        "events": own.watching(here, engine, goals, size.share, size.rounds),
        "other pools": pools(here, engine, goals, size.share, size.rounds),
        "a child's death": replacing(here, engine, size.share),
        "tasks of 10 ms": own.pacing(here, engine, size.share, size.rounds),
        "canvases": canvases(here, engine, size.share),
        "messages that wait": waiting(here, engine, queued=size.waiting, soon=max(100, round(1_000 * size.share))),
    }


def _on_rabbitmq(here: Ring, engine: Contender, goals: Goals, size: Size) -> dict[str, Iterator[Finding]]:
    return {
        "publishing": confirming(here, engine, size.share),
        "events": own.watching(here, engine, goals, size.share, size.rounds),
        "answers": answering(here, engine, size.share),
        "long queues": depth(here, engine, size.share),
    }
