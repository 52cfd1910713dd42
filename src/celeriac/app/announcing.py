"""Tell receivers of Python signals about a message: before it is published, when they may change it, and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, Final

import msgspec

from celeriac.app.publishing import RetryPolicy
from celeriac.app.signals import after_task_publish, before_task_publish, task_sent
from celeriac.brokers.topology import Queue
from celeriac.exceptions import EncodeError
from celeriac.wire.properties import PERSISTENT
from celeriac.wire.protocol import Call
from celeriac.wire.reprs import bounded_repr
from celeriac.wire.times import iso_text, parse_iso

# What a header of protocol 2 is called in a `Call`, where it is a plain field of it.
_FIELDS: Final = {
    "task": "task",
    "id": "id",
    "shadow": "shadow",
    "group": "group",
    "group_index": "group_index",
    "retries": "retries",
    "root_id": "root_id",
    "parent_id": "parent_id",
    "argsrepr": "argsrepr",
    "kwargsrepr": "kwargsrepr",
    "ignore_result": "ignore_result",
    "replaced_task_nesting": "replaced_task_nesting",
    "stamped_headers": "stamped_headers",
    "stamps": "stamps",
}
_OTHERS: Final = frozenset({"lang", "eta", "expires", "timelimit", "origin"})


class Announcement:
    """Hold what receivers are shown of one call: the parts of its message, which they may change in place.

    Args:
        call: what is to be sent.
        origin: who sends it.
        reply_to: where answers go, unless the call says so.
        policy: how publishing is retried.
        zone: what times without offset are meant in.
        declare: the queues that must be there before the message is sent.
    """

    def __init__(
        self,
        call: Call,
        *,
        origin: str,
        reply_to: str,
        policy: RetryPolicy | None,
        zone: tzinfo,
        declare: Sequence[Queue],
    ) -> None:
        self._call = call
        self._reply_to = reply_to
        self._policy = policy
        self._zone = zone
        self._declare = list(declare)
        route = call.route
        self._exchange, self._routing_key = ("", call.queue) if route is None else (route.exchange, route.routing_key)
        self._eta = _text(call.eta_at, call.eta_text)
        self._expires = _text(call.expires_at, call.expires_text)
        self.headers = self._headers_of(call, origin)
        self.properties = self._properties_of(call)
        self.body: tuple[Any, Any, dict[str, Any]] = (
            call.args,
            dict(call.kwargs),
            {name: getattr(call, name) for name in ("callbacks", "errbacks", "chain", "chord")},
        )

    def send_before(self) -> tuple[Call, str]:
        """Show the parts to receivers, and return the call and its origin as they are then.

        Raises:
            EncodeError: a receiver made something of them that is no message.
        """
        before_task_publish.send(
            sender=self._call.task,
            body=self.body,
            exchange=self._exchange,
            routing_key=self._routing_key,
            declare=self._declare,
            headers=self.headers,
            properties=self.properties,
            retry_policy={} if self._policy is None else msgspec.structs.asdict(self._policy),
        )
        try:
            return self._changed(), str(self.headers["origin"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EncodeError(
                f"a receiver of before_task_publish made no message of the call of {self._call.task!r}: {error!r}"
            ) from error

    def send_after(self) -> None:
        """Tell receivers that the broker has the message."""
        after_task_publish.send(
            sender=self._call.task,
            headers=self.headers,
            body=self.body,
            exchange=self._exchange,
            routing_key=self._routing_key,
        )
        if task_sent.receivers:
            args, kwargs, _ = self.body
            task_sent.send(
                sender=self._call.task,
                task_id=self.headers["id"],
                task=self._call.task,
                args=args,
                kwargs=kwargs,
                eta=self.headers["eta"],
                taskset=self.headers["group"],
            )

    def _headers_of(self, call: Call, origin: str) -> dict[str, Any]:
        return {
            "lang": "py",
            "task": call.task,
            "id": call.id,
            "shadow": call.shadow,
            "eta": self._eta,
            "expires": self._expires,
            "group": call.group,
            "group_index": call.group_index,
            "retries": call.retries,
            "timelimit": [call.time_limit, call.soft_time_limit],
            "root_id": call.root_id or call.id,
            "parent_id": call.parent_id,
            "argsrepr": bounded_repr(call.args) if call.argsrepr is None else call.argsrepr,
            "kwargsrepr": bounded_repr(call.kwargs) if call.kwargsrepr is None else call.kwargsrepr,
            "origin": origin,
            "ignore_result": call.ignore_result,
            "replaced_task_nesting": call.replaced_task_nesting,
            "stamped_headers": call.stamped_headers,
            "stamps": dict(call.stamps),
            **(call.headers or {}),
        }

    def _properties_of(self, call: Call) -> dict[str, Any]:
        properties = {"correlation_id": call.id, "reply_to": call.reply_to or self._reply_to, **(call.properties or {})}
        if call.priority is not None:
            properties["priority"] = call.priority
        if call.delivery_mode != PERSISTENT:
            properties["delivery_mode"] = call.delivery_mode
        if call.expiration_ms is not None:
            properties["expiration"] = call.expiration_ms / 1000
        return properties

    def _changed(self) -> Call:
        call, headers = self._call, self.headers
        args, kwargs, embed = self.body
        hard, soft = headers["timelimit"]
        fields: dict[str, Any] = {field: headers[name] for name, field in _FIELDS.items()}
        fields |= self._times(headers)
        fields |= self._properties_changed(dict(self.properties))
        custom = {name: value for name, value in headers.items() if name not in _FIELDS and name not in _OTHERS}
        changed: Call = msgspec.structs.replace(
            call,
            **fields,
            **embed,
            args=args,
            kwargs=kwargs,
            time_limit=hard,
            soft_time_limit=soft,
            headers=custom or None,
        )
        return changed

    def _times(self, headers: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, was in (("eta", self._eta), ("expires", self._expires)):
            text = headers[name]
            if text != was:
                fields |= {f"{name}_text": text, f"{name}_at": text and parse_iso(text, zone=self._zone)}
        return fields

    def _properties_changed(self, left: dict[str, Any]) -> dict[str, Any]:
        reply_to, correlation_id = left.pop("reply_to", None), left.pop("correlation_id", None)
        expiration = left.pop("expiration", None)
        fields = {
            "reply_to": None if reply_to == self._reply_to else reply_to,
            "priority": left.pop("priority", None),
            "delivery_mode": left.pop("delivery_mode", PERSISTENT),
            "expiration_ms": None if expiration is None else round(expiration * 1000),
        }
        if correlation_id != self.headers["id"]:
            left["correlation_id"] = correlation_id
        return fields | {"properties": left or None}


def _text(at: float | None, text: str | None) -> str | None:
    return text if text is not None or at is None else iso_text(at)
