"""What RabbitMQ's management plugin tells beside AMQP, where it runs: policies, alarms, all queues."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import quote

from celeriac.brokers.amqp.options import AmqpOptions
from celeriac.brokers.amqp.place import AmqpPlace
from celeriac.brokers.base import Checkup, Concern

_PORT: Final = 15672
_ENCRYPTED_PORT: Final = 15671
_WITHIN: Final = 1.0


class Silent(Exception):
    """The plugin does not answer, and the text says why."""


class Management:
    """Ask the plugin of the first server of a place."""

    def __init__(self, place: AmqpPlace, options: AmqpOptions) -> None:
        self._place = place
        self._options = options
        endpoint = place.endpoints[0]
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        scheme, port = ("https", _ENCRYPTED_PORT) if options.tls is not None else ("http", _PORT)
        self.url = f"{scheme}://{host}:{port}"

    def ask(self, path: str) -> Any:
        """Return the answer to a question.

        Raises:
            Silent: there is none.
        """
        endpoint = self._place.endpoints[0]
        who = base64.b64encode(f"{endpoint.username}:{endpoint.password}".encode()).decode()
        request = urllib.request.Request(f"{self.url}/api/{path}", headers={"Authorization": f"Basic {who}"})
        try:
            with urllib.request.urlopen(request, timeout=_WITHIN, context=self._options.tls) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise Silent(f"{self.url} answers {error.code} {error.reason}") from error
        except (OSError, ValueError) as error:
            raise Silent(f"nothing answers at {self.url}") from error

    def checkup(self) -> Checkup:
        """Judge what the plugin tells."""
        try:
            nodes = self.ask("nodes")
            columns = "name,type,durable,exclusive,auto_delete,arguments,effective_policy_definition"
            queues = self.ask(f"queues/{quote(self._place.virtual_host, safe='')}?columns={columns}")
        except Silent as reason:
            return Checkup(
                "management",
                f"{reason}; policies, such as those that mirror queues, are shown by `rabbitmqctl list_policies`, "
                "alarms by `rabbitmqctl status`",
            )
        return Checkup(
            "management",
            f"{self.url}, {len(nodes)} nodes, {len(queues)} queues",
            (*alarms_of(nodes), *concerns_of(queues)),
        )


def alarms_of(nodes: Iterable[Mapping[str, Any]]) -> list[Concern]:
    """Say which nodes of a cluster take no messages."""
    return [
        Concern(
            f"node {node.get('name')} is short of {what}: publishing waits", f"free {what} there, or raise the limit"
        )
        for node in nodes
        for alarm, what in (("mem_alarm", "memory"), ("disk_free_alarm", "disk"))
        if node.get(alarm)
    ]


def concerns_of(queues: Iterable[Mapping[str, Any]]) -> list[Concern]:
    """Say which queues lose messages with a server, or are of a kind that newer servers do not have."""
    concerns = []
    for queue in queues:
        name, policy = queue.get("name"), queue.get("effective_policy_definition") or {}
        if isinstance(policy, Mapping) and any(key.startswith("ha-") for key in policy):
            concerns.append(
                Concern(
                    f"queue {name} is a mirrored classic queue: it may lose messages when servers part, and RabbitMQ 4 "
                    "has none",
                    "use quorum queues: task_default_queue_type = 'quorum', with a new queue",
                )
            )
        if not queue.get("durable", True) and not (queue.get("exclusive") or queue.get("auto_delete")):
            concerns.append(
                Concern(
                    f"queue {name} is transient: it ends with the server, and its messages with it",
                    "declare it as durable",
                )
            )
    return concerns
