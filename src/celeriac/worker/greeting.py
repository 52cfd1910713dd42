"""What a node says before it takes work: its banner, and what it warns of."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any, Final

from celeriac.app.task import Task
from celeriac.brokers.base import Incarnation
from celeriac.exceptions import ImproperlyConfigured, OperationalError
from celeriac.worker.banner import banner
from celeriac.worker.consuming import no_ack_concern
from celeriac.worker.limits import limits_over_all_nodes
from celeriac.worker.node import Node
from celeriac.worker.time_limits import TimeLimits, concern_of

logger: Final = logging.getLogger("celeriac.worker")


def check_limits(node: Node) -> None:
    """Refuse to work on tasks with limits that the broker cannot keep.

    Raises:
        ImproperlyConfigured: there are such; the text names them.
    """
    broker = node.app.broker
    obeyed = not node.app.conf.worker_disable_rate_limits
    in_vain = limits_over_all_nodes(node.app.tasks.values(), rates_obeyed=obeyed)
    if in_vain and not broker.capabilities.keeps_limits:
        raise ImproperlyConfigured(
            f"{broker.url} has no store to keep limits in that hold over all nodes, and these tasks have some: "
            f"{', '.join(in_vain)}. Use redis:// or sqlite:// for them, or drop these options; a rate limit can be "
            "kept by each node for itself (rate_limit_scope='node')"
        )


def accepts_stores(node: Node) -> bool:
    """Look at how broker and result backend are set up, and warn; with `--strict` say whether all is well.

    Raises:
        OperationalError: the broker cannot be asked.
    """
    broker, backend = node.app.broker, node.app.backend
    checkups = {broker.url: broker.check_up()}
    if backend is not None and not broker.consumer(Incarnation.begin(node.name)).shares_store_with(backend):
        try:
            checkups[backend.url] = backend.check_up()
        except OperationalError as error:  # not needed before the first result, and said again then
            logger.warning("%s", error)
    level = logging.CRITICAL if node.options.strict else logging.WARNING
    found = [(url, one) for url, checkup in checkups.items() if checkup for one in checkup.concerns]
    for url, concern in found:
        logger.log(level, "%s: %s; %s", url, concern.found, concern.cure)
    if found and node.options.strict:
        logger.critical("not starting, for --strict takes warnings about stores for errors")
    return not (found and node.options.strict)


def greet(node: Node) -> None:
    """Print the banner, and purge when that was asked for."""
    described = banner(
        node.app,
        node=node.name,
        spec=node.spec,
        pool=node.pool.name,
        capacities=node.capacities,
        autoscale=node.autoscale,
        dispatch=node.dispatch if isinstance(node.dispatch, str) else node.dispatch.__qualname__,
        queues=node.queues,
    )
    node.say(described)
    at_risk = lost_with_neighbours(node.app.tasks.values()) if max(node.capacities) > 1 else []
    if at_risk:
        logger.warning(
            "tasks are acknowledged before they run (acks_late=False) and share a process with others: one that "
            "kills it loses the others' runs. Leave these to -P prefork, or let them be acknowledged late: %s",
            ", ".join(at_risk),
        )
    conf = node.app.conf
    limits = TimeLimits(node.app.tasks, hard=conf.task_time_limit, soft=conf.task_soft_time_limit)
    concern = concern_of(limits, node.pool.name)
    if concern is not None:
        logger.warning("%s", concern)
    if vain := limits.vain():
        logger.warning(
            "a soft time limit that is not below the hard one is never reached, so runs are killed untold: %s",
            "; ".join(vain),
        )
    concern = no_ack_concern(node.queues, node.app.amqp.queues)
    if concern is not None:
        logger.warning("%s", concern)
    if node.options.purge:
        count = sum(node.app.broker.purge(queue) for queue in node.queues)
        node.say(f"{count} messages were purged")


def lost_with_neighbours(tasks: Iterable[Task[..., Any]]) -> list[str]:
    """Name the tasks whose runs are lost when another run in their process kills it: those that are acked early."""
    return sorted(task.name for task in tasks if not task.acks_late and not task.name.startswith("celery."))
