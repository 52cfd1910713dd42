"""One whole run: the contest, celeriac's own figures, and on what machine they were taken."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import psutil

from bench import own
from bench.contenders import CELERIAC, Contender
from bench.contest import Ring, TrialFailed, hold
from bench.figures import Standing
from bench.machine import Neighbours, describe
from bench.own import Finding
from bench.peers_venv import versions


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: times that each contender is measured.
        share: of the tasks that a contender gets by default.
        idle: seconds for which an idle worker is watched.
        starts: of a worker, and half those of an interpreter.
        slopes: drain 1,000,000 queued messages, too.
    """

    rounds: int = 3
    share: float = 1.0
    idle: float = 10.0
    starts: int = 5
    slopes: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything that a run has found.

    Attributes:
        machine: where, in a line or two.
        others_cores: how many cores other people's work took meanwhile; what is above 0.1 spoils figures.
        standings: of the contenders, in the order of the table.
        versions: by the name of the contender and of the distribution.
        findings: about celeriac alone, and its goals.
        troubles: what could not be measured of celeriac, and why.
    """

    machine: str
    others_cores: float
    standings: Sequence[Standing]
    versions: dict[str, dict[str, str]]
    findings: list[Finding]
    troubles: list[str]

    @property
    def complete(self) -> bool:
        """Whether all of celeriac's figures are there; what a peer could not do is not our failure."""
        return not self.troubles and not any(one.trouble for one in self.standings if one.contender.ours)


def measure(here: Ring, contenders: Sequence[Contender], size: Size) -> Report:
    """Hold the contest, then look at celeriac alone if it takes part."""
    neighbours = Neighbours()
    standings = hold(here, contenders, rounds=size.rounds, share=size.share)
    findings: list[Finding] = []
    troubles: list[str] = []
    for standing in standings:
        if standing.contender is CELERIAC:
            findings += own.of_figures(standing.median) if standing.median else []
            troubles += _look_at_celeriac(here, size, findings)
    return Report(
        machine=describe(here),
        others_cores=neighbours.cores(),
        standings=standings,
        versions=_versions(here, contenders),
        findings=findings,
        troubles=troubles,
    )


def _look_at_celeriac(here: Ring, size: Size, findings: list[Finding]) -> list[str]:
    """Add to the findings; return what could not be found, and why."""
    measures = {
        "publishing": own.publishing(here, size.share),
        "a worker's life": own.living(here, idle=size.idle, starts=size.starts),
        "importing": own.importing(2 * size.starts + 1),
    }
    if size.slopes:
        measures["slopes"] = own.slopes(here)
    troubles = []
    for subject, found in measures.items():
        print(f"celeriac alone: {subject} ...", file=sys.stderr)
        try:
            findings.extend(found)
        except (TrialFailed, psutil.Error) as failure:
            troubles.append(f"{subject}: {failure}")
    return troubles


def _versions(here: Ring, contenders: Sequence[Contender]) -> dict[str, dict[str, str]]:
    pythons = {one.name: sys.executable if one.ours else here.peers_python for one in contenders}
    return {one.name: versions(python, one.packages) for one in contenders if (python := pythons[one.name])}
