"""Settings about the broker, and about messages in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celeriac.app.config.setting import Group, later, ours, works
from celeriac.app.kinds import (
    FLAG,
    FUNCTION,
    MAPPING,
    NUMBER,
    PASSWORD,
    PORT,
    SECONDS,
    TEXT,
    URLS,
    either,
    one_of,
    or_none,
    whole,
)
from celeriac.brokers.base import DEAD_LETTER_EXPIRES, DEAD_LETTER_MAX, MESSAGE_MAX_BYTES

_COUNT = whole(at_least=0)


class BrokerSettings(Group):
    """Say where messages are kept, and how that place is reached."""

    TITLE = "Broker"

    broker_url: str | None = works(
        or_none(URLS), None, "Where messages are kept; None: in the app's own SQLite file.", old="BROKER_URL"
    )
    broker_read_url: str | None = works(
        or_none(URLS),
        None,
        "Where workers read messages, and what looks at queues; None: as `broker_url`.",
        old="BROKER_READ_URL",
        follows="broker_url",
    )
    broker_write_url: str | None = works(
        or_none(URLS),
        None,
        "Where messages are sent; None: as `broker_url`.",
        old="BROKER_WRITE_URL",
        follows="broker_url",
    )
    broker_transport: str | None = works(
        or_none(TEXT), None, "Technology of the broker, whatever the URL says.", old="BROKER_TRANSPORT"
    )
    broker_transport_options: Mapping[str, Any] = works(
        MAPPING, {}, "What the broker's technology wants to know besides.", old="BROKER_TRANSPORT_OPTIONS"
    )
    broker_connection_timeout: float = works(
        SECONDS, 4.0, "Seconds within which a connection stands or has failed.", old="BROKER_CONNECTION_TIMEOUT"
    )
    broker_connection_retry: bool = works(
        FLAG,
        True,
        "A worker connects again after it has lost its broker, and waits for one at its start.",
        old="BROKER_CONNECTION_RETRY",
    )
    broker_connection_retry_on_startup: bool | None = works(
        or_none(FLAG),
        None,
        "The same for the first connection of a worker; None: as `broker_connection_retry`.",
        old="BROKER_CONNECTION_RETRY_ON_STARTUP",
    )
    broker_connection_max_retries: int | None = works(
        or_none(_COUNT),
        100,
        "Attempts to connect before a worker gives up; None or 0: no end.",
        old="BROKER_CONNECTION_MAX_RETRIES",
    )
    broker_channel_error_retry: bool = later(
        FLAG,
        False,
        "Connect again after an error of a channel, too.",
        old="BROKER_CHANNEL_ERROR_RETRY",
        why="a node connects again after every error of its broker",
    )
    broker_failover_strategy: Any = works(
        or_none(FUNCTION),
        None,
        "Which of several URLs is tried next: 'round-robin', 'shuffle', or a function that makes an iterator of them.",
        old="BROKER_FAILOVER_STRATEGY",
    )
    broker_heartbeat: float | None = works(
        or_none(SECONDS),
        120.0,
        "Seconds of silence after which RabbitMQ and a worker ask for a sign of life; not set: 4, so that others have "
        "the work of a silent machine within 12 s; None or 0: never.",
        old="BROKER_HEARTBEAT",
    )
    broker_heartbeat_checkrate: float = works(
        NUMBER,
        3.0,
        "How often a worker looks, during the time of one heartbeat, whether RabbitMQ has given a sign of life; after "
        "two heartbeats without one it connects anew. 0: never.",
        old="BROKER_HEARTBEAT_CHECKRATE",
    )
    broker_login_method: str | None = works(
        or_none(TEXT), None, "How AMQP logs in: 'PLAIN', 'AMQPLAIN' or 'EXTERNAL'.", old="BROKER_LOGIN_METHOD"
    )
    broker_native_delayed_delivery_queue_type: str = works(
        one_of("quorum", "classic"),
        "quorum",
        "Type of the queues in which RabbitMQ holds messages until their time.",
        old="BROKER_NATIVE_DELAYED_DELIVERY_QUEUE_TYPE",
    )
    broker_pool_limit: int | None = works(
        or_none(_COUNT), 10, "Most connections that are open at once; None or 0: no pool.", old="BROKER_POOL_LIMIT"
    )
    broker_pool_acquire_timeout: float | None = works(
        or_none(SECONDS),
        None,
        "Seconds to wait for a connection of the pool; None: for ever.",
        old="BROKER_POOL_ACQUIRE_TIMEOUT",
    )
    broker_use_ssl: bool | Mapping[str, Any] = works(
        either(FLAG, MAPPING), False, "Encrypt connections: True, or a dict of how.", old="BROKER_USE_SSL"
    )
    broker_host: str | None = works(
        or_none(TEXT), None, "Host of the broker, where `broker_url` is not given.", old="BROKER_HOST"
    )
    broker_port: int | None = works(or_none(PORT), None, "Its port, likewise.", old="BROKER_PORT")
    broker_user: str | None = works(or_none(TEXT), None, "Its user, likewise.", old="BROKER_USER")
    broker_password: str | bytes | None = works(
        or_none(PASSWORD), None, "Its password, likewise.", old="BROKER_PASSWORD"
    )
    broker_vhost: str | None = works(or_none(TEXT), None, "Its virtual host, likewise.", old="BROKER_VHOST")


class MessageSettings(Group):
    """Say how large messages may be, and what is kept of those that nobody could run."""

    TITLE = "Messages and dead letters"

    broker_consumer_timeout: float | None = ours(
        or_none(SECONDS),
        1800.0,
        "Seconds that RabbitMQ waits for an acknowledgement, as `consumer_timeout` says there; None or 0: for ever. "
        "Runs may take longer: their messages are seen to before.",
    )
    message_max_bytes: int = ours(
        whole(at_least=1024), MESSAGE_MAX_BYTES, "Largest message that is sent or run, in bytes, decompressed too."
    )
    message_max_depth: int = ours(whole(at_least=8, at_most=900), 128, "Deepest nesting of the data in a message.")
    message_max_headers: int = ours(whole(at_least=32), 256, "Most headers of a message.")
    dead_letter_max: int = ours(whole(at_least=1), DEAD_LETTER_MAX, "Dead letters kept per queue; the oldest go first.")
    dead_letter_expires: float = ours(SECONDS, DEAD_LETTER_EXPIRES, "Seconds for which a dead letter is kept.")
