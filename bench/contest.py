"""The rounds: every contender once in each, so that a busy moment of the machine hits one round and no median."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import rabbitmq_server, redis_server
from bench.contenders import Contender
from bench.figures import Figures, Standing
from bench.peers_venv import PeersMissing, bench_peers
from bench.processes import ROOT, ended

SERVERS: Final[Mapping[str, tuple[str, Callable[[Path], AbstractContextManager[int]]]]] = {
    "redis": (redis_server.PORT_VARIABLE, redis_server.redis_server),
    "rabbitmq": (rabbitmq_server.PORT_VARIABLE, rabbitmq_server.rabbitmq_server),
}
"""What contenders may need: the variable that tells them its port, and what runs it."""


class TrialFailed(Exception):
    """A trial ended without figures; the text is the last that it said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ring:
    """Where trials are held.

    Attributes:
        folder: files of this run; removed afterwards.
        pythons: interpreters of the peers, by the name of their environment.
        ports: of the servers that run, by their names in `SERVERS`.
        missing: why one of these is not there, by its name.
    """

    folder: Path
    pythons: Mapping[str, Path]
    ports: Mapping[str, int]
    missing: Mapping[str, str]

    def obstacle(self, contender: Contender) -> str | None:
        """Say why a contender cannot be measured here, if it cannot."""
        needed = [*([contender.venv] if contender.venv else []), *contender.servers]
        return next((self.missing[name] for name in needed if name in self.missing), None)

    def python(self, contender: Contender) -> Path:
        """Return the interpreter that a contender runs in."""
        return self.pythons[contender.venv] if contender.venv else Path(sys.executable)

    def environment(self, contender: Contender) -> dict[str, str]:
        """Return what the processes of a contender find in their environment."""
        sources = os.pathsep.join((str(ROOT / "src"), str(ROOT)))  # of this checkout, whatever is installed
        variables = {**os.environ, "BENCH_FOLDER": str(self.folder), "PYTHONPATH": sources}
        variables |= {SERVERS[name][0]: str(port) for name, port in self.ports.items()}
        return variables | dict(contender.environment)


@contextmanager
def ring(folder: Path, contenders: Sequence[Contender]) -> Iterator[Ring]:
    """Set up what these contenders need. What cannot be had is said in `missing`, and is no error."""
    pythons: dict[str, Path] = {}
    missing: dict[str, str] = {}
    for name in sorted({one.venv for one in contenders if one.venv}):
        try:
            pythons[name] = bench_peers(name).interpreter()
        except PeersMissing as reason:
            missing[name] = str(reason)
    ports: dict[str, int] = {}
    with ExitStack() as servers:
        for name in sorted({one for contender in contenders for one in contender.servers}):
            try:
                ports[name] = servers.enter_context(SERVERS[name][1](folder))
            except (redis_server.RedisMissing, rabbitmq_server.RabbitMissing) as reason:
                missing[name] = str(reason)
        yield Ring(folder=folder, pythons=pythons, ports=ports, missing=missing)


def hold(here: Ring, contenders: Sequence[Contender], *, rounds: int, share: float) -> list[Standing]:
    """Measure everybody `rounds` times with `share` of their tasks. A contender that fails once is not asked again."""
    standings = [Standing(contender=one, rounds=[], trouble=here.obstacle(one)) for one in contenders]
    for number in range(1, rounds + 1):
        for standing in standings:
            if standing.trouble is None:
                print(f"round {number} of {rounds}: {standing.contender.label} ...", file=sys.stderr)
                _measure(here, standing, share)
    return standings


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
    return trial(here, contender, "publish", count)


def work(here: Ring, contender: Contender, count: int) -> dict[str, float]:
    """Have its worker empty the queue."""
    return trial(here, contender, "work", count)


def trial(here: Ring, contender: Contender, phase: str, count: int) -> dict[str, float]:
    """Have a phase of `bench.trial`.

    Raises:
        TrialFailed: it found nothing.
    """
    argv = [str(here.python(contender)), "-m", "bench.trial", contender.module, phase, str(count), str(here.folder)]
    figures: dict[str, float] = json.loads(answer_of(argv, here.environment(contender), timeout=120 + count / 1000))
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
