"""Settings about events, remote control and signed messages."""

from __future__ import annotations

from celeriac.app.config.content import SERIALIZER
from celeriac.app.config.setting import Group, later, works
from celeriac.app.kinds import ACCOUNT, FLAG, PASSWORD, PATH, SECONDS, TEXT, UMASK, or_none


class EventSettings(Group):
    """Say how events travel to those who watch."""

    TITLE = "Events"
    WHY = "cameras run in the foreground; have a service manager start them"

    event_queue_expires: float | None = works(
        or_none(SECONDS),
        60.0,
        "RabbitMQ: seconds after which the queue of a gone monitor is deleted; None: never. On others monitors have no "
        "queues: neither this nor the next four settings have any effect there.",
        old="CELERY_EVENT_QUEUE_EXPIRES",
    )
    event_queue_ttl: float | None = works(
        or_none(SECONDS), 5.0, "RabbitMQ: seconds for which an event waits for a monitor.", old="CELERY_EVENT_QUEUE_TTL"
    )
    event_queue_prefix: str = works(
        TEXT, "celeryev", "RabbitMQ: what names of monitors' queues begin with.", old="CELERY_EVENT_QUEUE_PREFIX"
    )
    event_queue_exclusive: bool = works(
        FLAG,
        True,
        "RabbitMQ: such a queue belongs to one connection, and goes with it.",
        old="CELERY_EVENT_QUEUE_EXCLUSIVE",
    )
    event_queue_durable: bool = works(
        FLAG,
        False,
        "RabbitMQ: such a queue outlives a restart; a receiver with the same `node_id` finds it again.",
        old="CELERY_EVENT_QUEUE_DURABLE",
    )
    event_serializer: str = works(SERIALIZER, "json", "How events are written.", old="CELERY_EVENT_SERIALIZER")
    event_exchange: str = works(TEXT, "celeryev", "Exchange of events.", old="CELERY_EVENT_EXCHANGE")
    events_logfile: str | None = later(or_none(PATH), None, "Where a camera in the background logs.", old=None)
    events_pidfile: str | None = later(or_none(PATH), None, "Where it writes its process id.", old=None)
    events_uid: str | int | None = later(or_none(ACCOUNT), None, "User that it becomes.", old=None)
    events_gid: str | int | None = later(or_none(ACCOUNT), None, "Group that it becomes.", old=None)
    events_umask: int | None = later(or_none(UMASK), None, "Its umask.", old=None)
    events_executable: str | None = later(or_none(PATH), None, "Python that it is started with.", old=None)


class ControlSettings(Group):
    """Say how control commands travel to nodes, and answers back."""

    TITLE = "Remote control"

    control_queue_ttl: float | None = works(
        or_none(SECONDS),
        300.0,
        "RabbitMQ: seconds for which a command waits for a node, or an answer for who asked. On others there are no "
        "such queues, and this and the next three settings have no effect.",
        old="CONTROL_QUEUE_TTL",
    )
    control_queue_expires: float | None = works(
        or_none(SECONDS),
        10.0,
        "RabbitMQ: seconds after which the queue of a gone node, or of somebody who asked, is deleted; None: never.",
        old="CONTROL_QUEUE_EXPIRES",
    )
    control_queue_exclusive: bool = works(
        FLAG, True, "RabbitMQ: such a queue goes with its connection.", old="CONTROL_QUEUE_EXCLUSIVE"
    )
    control_queue_durable: bool = works(
        FLAG,
        False,
        "RabbitMQ: such a queue outlives a restart; a node that comes back under its name in time obeys what was said "
        "meanwhile.",
        old="CONTROL_QUEUE_DURABLE",
    )
    control_exchange: str = works(TEXT, "celery", "Exchange of commands, before '.pidbox'.", old="CONTROL_EXCHANGE")


class SecuritySettings(Group):
    """Say how messages are signed, and whose signatures count."""

    TITLE = "Signed messages"
    WHY = "messages are not signed in this version"

    security_certificate: str | None = later(
        or_none(PATH), None, "File of the own certificate.", old="CELERY_SECURITY_CERTIFICATE"
    )
    security_cert_store: str | None = later(
        or_none(PATH), None, "Files of the certificates that are trusted, as a glob.", old="CELERY_SECURITY_CERT_STORE"
    )
    security_key: str | None = later(or_none(PATH), None, "File of the own private key.", old="CELERY_SECURITY_KEY")
    security_key_password: str | bytes | None = later(
        or_none(PASSWORD), None, "Password of that file.", old="CELERY_SECURITY_KEY_PASSWORD"
    )
    security_digest: str = later(TEXT, "sha256", "Digest that is signed.", old="CELERY_SECURITY_DIGEST")
