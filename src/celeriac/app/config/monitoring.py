"""Settings about events, remote control and signed messages."""

from __future__ import annotations

from celeriac.app.config.content import SERIALIZER
from celeriac.app.config.setting import Group, later, works
from celeriac.app.kinds import ACCOUNT, FLAG, PASSWORD, PATH, SECONDS, TEXT, UMASK, or_none


class EventSettings(Group):
    """Say how events travel to those who watch."""

    TITLE = "Events"

    event_queue_expires: float | None = later(
        or_none(SECONDS),
        60.0,
        "Seconds after which the queue of a gone monitor is deleted.",
        old="CELERY_EVENT_QUEUE_EXPIRES",
    )
    event_queue_ttl: float | None = later(
        or_none(SECONDS), 5.0, "Seconds for which an event waits for a monitor.", old="CELERY_EVENT_QUEUE_TTL"
    )
    event_queue_prefix: str = later(
        TEXT, "celeryev", "What names of monitors' queues begin with.", old="CELERY_EVENT_QUEUE_PREFIX"
    )
    event_queue_exclusive: bool = later(
        FLAG, True, "Such a queue belongs to one connection.", old="CELERY_EVENT_QUEUE_EXCLUSIVE"
    )
    event_queue_durable: bool = later(
        FLAG, False, "Such a queue outlives a restart of the broker.", old="CELERY_EVENT_QUEUE_DURABLE"
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

    control_queue_ttl: float | None = later(
        or_none(SECONDS), 300.0, "Seconds for which a command waits for a node.", old="CONTROL_QUEUE_TTL"
    )
    control_queue_expires: float | None = later(
        or_none(SECONDS), 10.0, "Seconds after which the queue of a gone node is deleted.", old="CONTROL_QUEUE_EXPIRES"
    )
    control_queue_exclusive: bool = later(
        FLAG, True, "Such a queue belongs to one connection.", old="CONTROL_QUEUE_EXCLUSIVE"
    )
    control_queue_durable: bool = later(
        FLAG, False, "Such a queue outlives a restart of the broker.", old="CONTROL_QUEUE_DURABLE"
    )
    control_exchange: str = works(TEXT, "celery", "Exchange of commands, before '.pidbox'.", old="CONTROL_EXCHANGE")


class SecuritySettings(Group):
    """Say how messages are signed, and whose signatures count."""

    TITLE = "Signed messages"

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
