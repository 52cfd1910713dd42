"""The rounds: every contender once in each, so that a busy moment of the machine hits one round and no median."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.contenders import Contender
from bench.figures import Figures, Standing
from bench.peers_venv import BENCH_PEERS, PeersMissing
from bench.processes import ROOT, ended
from bench.redis_server import PORT_VARIABLE, RedisMissing, redis_server


class TrialFailed(Exception):
    """A trial ended without figures; the text is the last that it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Where trials are held.

    Attributes:
        folder: files of this run; removed afterwards.
        peers_python: interpreter of the peers; None when they could not be installed.
        redis_port: None when there is no server.
        missing: why one of these two is None.
    """

    folder: Path
    peers_python: Path | None
    redis_port: int | None
    missing: str = ""

    def environment(self, contender: Contender | None = None) -> dict[str, str]:
        """Return what the processes of a contender find in their environment."""
        variables = {**os.environ, "BENCH_FOLDER": str(self.folder), "PYTHONPATH": str(ROOT)}
        if self.redis_port is not None:
            variables[PORT_VARIABLE] = str(self.redis_port)
        return variables | dict(contender.environment if contender else {})


@contextmanager
def ring(folder: Path, contenders: Sequence[Contender]) -> Iterator[Ring]:
    """Set up what these contenders need. What cannot be had is said in `missing`, and is no error."""
    python, port, missing = None, None, ""
    with ExitStack() as servers:
        try:
            if not all(contender.ours for contender in contenders):
                python = BENCH_PEERS.interpreter()
            if any(contender.needs_redis for contender in contenders):
                port = servers.enter_context(redis_server(folder))
        except (PeersMissing, RedisMissing) as reason:
            missing = str(reason)
        yield Ring(folder=folder, peers_python=python, redis_port=port, missing=missing)


def hold(here: Ring, contenders: Sequence[Contender], *, rounds: int, share: float) -> list[Standing]:
    """Measure everybody `rounds` times with `share` of their tasks. A contender that fails once is not asked again."""
    standings = [Standing(contender=one, rounds=[], trouble=_obstacle(here, one)) for one in contenders]
    for number in range(1, rounds + 1):
        for standing in standings:
            if standing.trouble is None:
                print(f"round {number} of {rounds}: {standing.contender.label} ...", file=sys.stderr)
                _measure(here, standing, share)
    return standings


def _obstacle(here: Ring, contender: Contender) -> str | None:
    if (contender.needs_redis and here.redis_port is None) or (not contender.ours and here.peers_python is None):
        return here.missing
    return None


def _measure(here: Ring, standing: Standing, share: float) -> None:
    count = max(300, round(standing.contender.queued * share))
    try:
        standing.rounds.append(
            Figures(**publish(here, standing.contender, count), **work(here, standing.contender, count))
        )
    except TrialFailed as failure:
        standing.trouble = str(failure)


def publish(here: Ring, contender: Contender, count: int) -> dict[str, float]:
    """Fill the queue of a contender."""
    return _trial(here, contender, "publish", count)


def work(here: Ring, contender: Contender, count: int) -> dict[str, float]:
    """Have its worker empty the queue."""
    return _trial(here, contender, "work", count)


def _trial(here: Ring, contender: Contender, phase: str, count: int) -> dict[str, float]:
    python = sys.executable if contender.ours else str(here.peers_python)
    argv = [python, "-m", "bench.trial", contender.module, phase, str(count), str(here.folder)]
    answer = answer_of(argv, here.environment(contender), timeout=120 + count / 1000)
    figures: dict[str, float] = json.loads(answer)
    return figures


def answer_of(argv: Sequence[str], environment: Mapping[str, str], *, timeout: float) -> str:
    """Return what a process prints, and leave nothing of it behind.

    Raises:
        TrialFailed: it failed, or was not done after `timeout` seconds.
    """
    process = subprocess.Popen(
        argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    )
    with ended(process):
        try:
            answer, complaint = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise TrialFailed(f"not done after {timeout:.0f} s") from None
    if process.returncode != 0:
        raise TrialFailed(
            complaint.decode(errors="replace").strip().rpartition("\n")[2] or f"exit {process.returncode}"
        )
    return answer.decode()
