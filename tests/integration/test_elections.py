"""Elections among real nodes: one of them does it, and knows what to do."""

from __future__ import annotations

import pytest

from tests.integration.project import PATIENCE, Project, wait_until

pytestmark = pytest.mark.timeout(180)

STEP = """
app.conf.worker_election_wait = 4.0  # nodes of a busy machine may hang for longer than the usual second
from celeriac.bootsteps import StartStopStep


class Elected(StartStopStep):
    def start(self, worker):
        worker.gossip.on.node_join.add(lambda other: note("joined", other.hostname, worker.hostname))
        worker.gossip.election_handlers["page"] = lambda action: note("paged", action, worker.hostname)


app.steps["worker"].add(Elected)
"""


@pytest.mark.engines("sqlite", "redis", "rabbitmq")
def test_one_of_several_nodes_is_elected_and_does_it(project: Project):
    project.use_also(STEP)
    for name in ("w1", "w2", "w3"):
        gossips = "--without-gossip" if name == "w3" else "--heartbeat-interval=1"
        project.start(gossips, "-l", "INFO", name=name, concurrency=1)
    wait_until(lambda: len(project.app.control.ping(timeout=10, limit=3)) == 3, what="three nodes that listen")

    wait_until(lambda: {("w1", "w2"), ("w1", "w3"), ("w2", "w1"), ("w2", "w3")} <= met(project), what="who joined")

    results = [project.app.signature("tasks.noted", (f"elected-{number}",)).election() for number in range(3)]
    project.app.control.election("page-1", "page", "anna")

    assert [result.get(timeout=PATIENCE) for result in results] == [f"elected-{number}" for number in range(3)]
    wait_until(lambda: any(words[0] == "paged" for words in project.notes), what="the page")
    ids = ["page-1", *(result.id for result in results)]
    wait_until(lambda: all(chosen(node.log, id) for node in project.nodes[:2] for id in ids), what="both to choose")
    assert [project.began(f"elected-{number}") for number in range(3)] == [1, 1, 1]
    [paged] = [words for words in project.notes if words[0] == "paged"]
    assert (paged[1], paged[2].split("@")[0] in ("w1", "w2")) == ("anna", True)
    assert len(met(project)) == 4  # the third one gossips with nobody


def chosen(log: str, id: str) -> bool:
    """Say whether a node has chosen in an election."""
    return f"elected for '{id}'" in log or f"won the election '{id}'" in log


def met(project: Project) -> set[tuple[str, str]]:
    """Return which nodes have heard of which."""
    return {(words[2].split("@")[0], words[1].split("@")[0]) for words in project.notes if words[0] == "joined"}
