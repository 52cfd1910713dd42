"""The table of what programs import from the packages that Celery brings along: kombu and billiard.

It is asked only where such a package is not installed; see `as_celery`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from celeriac.compat.paths import INTERNAL, KOMBU, LOGGING, Missing, Names, all_of, at, no

PROCESSES: Final = Missing("does not exist in celeriac; use the module multiprocessing")
SERIALIZERS: Final = Missing(
    "does not exist in celeriac: `accept_content` says what is read, `task_serializer` what is written"
)

_MULTIPROCESSING: Final = """
    Array Barrier BoundedSemaphore Condition Event JoinableQueue Lock Manager Pipe Pool Process Queue RLock Semaphore
    Value active_children cpu_count current_process freeze_support
"""

PEERS: Final[Mapping[str, Names | Missing]] = {
    "kombu": {
        **at("celeriac.brokers.topology", "Exchange Queue binding"),
        **at("celeriac.ids", "uuid=new_id"),
        **no(KOMBU, "BrokerConnection Connection Consumer Message Producer eventloop parse_url pools"),
    },
    "kombu.common": {
        **at("celeriac.brokers.topology", "Broadcast"),
        **at("celeriac.ids", "uuid=new_id"),
        **no(KOMBU, "QoS collect_replies eventloop itermessages maybe_declare send_reply"),
    },
    "kombu.compression": {
        **at("celeriac.wire.compression", "register"),
        **no(SERIALIZERS, "encoders get_encoder get_decoder compress decompress"),
    },
    "kombu.entity": at("celeriac.brokers.topology", "Exchange Queue binding"),
    "kombu.exceptions": {
        **at(
            "celeriac.exceptions",
            "KombuError=CeleriacError OperationalError SerializationError EncodeError DecodeError ContentDisallowed "
            "SerializerNotInstalled=EncodeError",
        ),
        **at("builtins", "ConnectionError TimeoutError"),
        **no(
            KOMBU,
            "NotBoundError MessageStateError LimitExceeded ConnectionLimitExceeded ChannelLimitExceeded "
            "VersionMismatch ChannelError InconsistencyError HttpError BatchPublishError",
        ),
    },
    "kombu.log": {
        **at("celeriac.compat.logs", "get_logger LOG_LEVELS"),
        **no(LOGGING, "LogMixin get_loglevel setup_logging"),
    },
    "kombu.serialization": {
        **at("celeriac.wire.serializers", "register unregister"),
        **no(
            SERIALIZERS,
            "dumps loads registry register_json register_msgpack register_pickle register_yaml "
            "enable_insecure_serializers disable_insecure_serializers pickle_loads raw_encode prepare_accept_content",
        ),
    },
    "kombu.utils": {
        **at("celeriac.ids", "uuid=new_id"),
        **at("functools", "cached_property"),
        **at("celeriac.compat.imports", "symbol_by_name"),
        **at("celeriac.compat.functional", "maybe_list"),
    },
    "kombu.utils.encoding": at(
        "celeriac.compat.encoding", "bytes_to_str ensure_bytes from_utf8 safe_repr safe_str str_to_bytes"
    ),
    "kombu.utils.functional": at(
        "celeriac.compat.functional", "LRUCache dictfilter is_list lazy maybe_evaluate maybe_list"
    ),
    "kombu.utils.imports": at("celeriac.compat.imports", "symbol_by_name"),
    "kombu.utils.json": {
        **at("celeriac.compat.encoding", "dumps loads register_type"),
        **no(INTERNAL, "JSONEncoder object_hook"),
    },
    "kombu.utils.objects": at("functools", "cached_property"),
    "kombu.utils.url": {
        **at("celeriac.masking", "maybe_sanitize_url=masked_url sanitize_url=masked_url"),
        **at("urllib.parse", "quote unquote"),
        **no(KOMBU, "as_url parse_url url_to_parts"),
    },
    "kombu.utils.uuid": at("celeriac.ids", "uuid=new_id"),
    **all_of("kombu", "connection message messaging mixins pools simple transport", KOMBU),
    **all_of("kombu.utils", "debug limits scheduling", KOMBU),
    "billiard": {
        **at("multiprocessing", f"{_MULTIPROCESSING} get_logger log_to_stderr"),
        **at("celeriac.compat.version", "VERSION=BILLIARDS_VERSION"),
    },
    "billiard.einfo": {
        **at("celeriac.app.einfo", "ExceptionInfo"),
        **at("celeriac.compat.einfo", "ExceptionWithTraceback"),
        **no(INTERNAL, "Traceback"),
    },
    "billiard.exceptions": {
        **at("celeriac.exceptions", "SoftTimeLimitExceeded Terminated TimeLimitExceeded WorkerLostError"),
        **at("multiprocessing", "AuthenticationError BufferTooShort ProcessError TimeoutError"),
        **no(INTERNAL, "CoroStop RestartFreqExceeded SystemTerminate"),
    },
    "billiard.pool": {
        **at("multiprocessing.pool", "AsyncResult=AsyncResult Pool ThreadPool"),
        **no(INTERNAL, "Worker"),
    },
    "billiard.process": at("multiprocessing", "Process active_children current_process"),
    "billiard.util": at("multiprocessing.util", "Finalize get_logger log_to_stderr register_after_fork"),
    **all_of("billiard", "connection context managers queues sharedctypes synchronize", PROCESSES),
}
"""What is importable, as in `paths.PATHS`."""
