"""Settings of single technologies that can keep results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celeriac.app.config.setting import Group, later, works
from celeriac.app.kinds import (
    ANY_TEXT,
    ANYTHING,
    CLASS,
    FLAG,
    FUNCTION,
    MAPPING,
    NUMBER,
    PASSWORD,
    PATH,
    PORT,
    SECONDS,
    TEXT,
    TEXT_LIST,
    URL,
    either,
    or_none,
    whole,
)

_COUNT = whole(at_least=0)
_POSITIVE = whole(at_least=1)


class RedisSettings(Group):
    """Say how results in Redis are reached."""

    TITLE = "Redis"

    redis_backend_use_ssl: bool | Mapping[str, Any] | None = works(
        or_none(either(FLAG, MAPPING)), None, "Encrypt connections: a dict of how.", old="CELERY_REDIS_BACKEND_USE_SSL"
    )
    redis_backend_health_check_interval: float | None = works(
        or_none(SECONDS), None, "Seconds after which an idle connection is tried before it is used.", old=None
    )
    redis_backend_credential_provider: Any = works(
        or_none(either(CLASS, ANYTHING)), None, "Object, or path of a class, that knows user and password.", old=None
    )
    redis_client_name: str | None = works(or_none(TEXT), None, "What connections are called on the server.", old=None)
    redis_db: int | None = works(
        or_none(_COUNT), None, "Number of the database, where the URL has none.", old="CELERY_REDIS_DB"
    )
    redis_host: str | None = works(or_none(TEXT), None, "Host, likewise.", old="CELERY_REDIS_HOST")
    redis_port: int | None = works(or_none(PORT), None, "Port, likewise.", old="CELERY_REDIS_PORT")
    redis_username: str | None = works(or_none(TEXT), None, "User, likewise.", old="CELERY_REDIS_USERNAME")
    redis_password: str | bytes | None = works(
        or_none(PASSWORD), None, "Password, likewise.", old="CELERY_REDIS_PASSWORD"
    )
    redis_max_connections: int | None = works(
        or_none(_POSITIVE), None, "Most connections that are open at once.", old="CELERY_REDIS_MAX_CONNECTIONS"
    )
    redis_socket_timeout: float | None = works(
        or_none(SECONDS),
        None,
        "Seconds within which a call is answered, connecting included; None or 0: 5.",
        old="CELERY_REDIS_SOCKET_TIMEOUT",
    )
    redis_socket_connect_timeout: float | None = works(
        or_none(SECONDS), None, "Seconds to wait for a connection.", old="CELERY_REDIS_SOCKET_CONNECT_TIMEOUT"
    )
    redis_retry_on_timeout: bool = works(
        FLAG, False, "Ask once more when there was no answer in time.", old="CELERY_REDIS_RETRY_ON_TIMEOUT"
    )
    redis_socket_keepalive: bool = works(
        FLAG, False, "Have the system watch idle connections.", old="CELERY_REDIS_SOCKET_KEEPALIVE"
    )


class DatabaseSettings(Group):
    """Say how results in an SQL database are kept, through SQLAlchemy."""

    TITLE = "SQLAlchemy"
    WHY = "nothing keeps results through SQLAlchemy in this version"

    database_url: str | None = later(
        or_none(URL), None, "URL of the database, where `result_backend` has none.", old="CELERY_RESULT_DBURI"
    )
    database_engine_options: Mapping[str, Any] = later(
        MAPPING,
        {"pool_pre_ping": True, "pool_recycle": 3600},
        "Arguments of `create_engine`.",
        old="CELERY_RESULT_ENGINE_OPTIONS",
    )
    database_engine_callback: Any = later(
        or_none(FUNCTION),
        None,
        "Function that is given the engine before its first use.",
        old="DATABASE_ENGINE_CALLBACK",
    )
    database_short_lived_sessions: bool = later(
        FLAG, False, "Connect anew for every session.", old="CELERY_RESULT_DB_SHORT_LIVED_SESSIONS"
    )
    database_table_schemas: Mapping[str, Any] | None = later(
        or_none(MAPPING), None, "Schemas of the tables: a dict with 'task' and 'group'.", old="DATABASE_TABLE_SCHEMAS"
    )
    database_table_names: Mapping[str, Any] | None = later(
        or_none(MAPPING), None, "Names of the tables, likewise.", old="CELERY_RESULT_DB_TABLENAMES"
    )
    database_create_tables_at_setup: bool = later(
        FLAG, True, "Make the tables before the first result comes.", old="DATABASE_CREATE_TABLES_AT_SETUP"
    )


class CacheSettings(Group):
    """Say how results in memcached are reached."""

    TITLE = "Memcached"
    WHY = "memcached keeps no results in this version"

    cache_backend: str | None = later(
        or_none(URL), None, "URL of the cache, where `result_backend` has none.", old="CELERY_CACHE_BACKEND"
    )
    cache_backend_options: Mapping[str, Any] = later(
        MAPPING, {}, "Arguments of the memcached client.", old="CELERY_CACHE_BACKEND_OPTIONS"
    )


class DocumentStoreSettings(Group):
    """Say how results in document databases are kept."""

    TITLE = "Document databases"
    WHY = "document databases keep no results in this version"

    mongodb_backend_settings: Mapping[str, Any] | None = later(
        or_none(MAPPING),
        None,
        "MongoDB: host, port, user, password, database, names of collections, options.",
        old="CELERY_MONGODB_BACKEND_SETTINGS",
    )
    couchbase_backend_settings: Mapping[str, Any] | None = later(
        or_none(MAPPING),
        None,
        "Couchbase: host, port, bucket, user and password.",
        old="CELERY_COUCHBASE_BACKEND_SETTINGS",
    )
    arangodb_backend_settings: Mapping[str, Any] | None = later(
        or_none(MAPPING),
        None,
        "ArangoDB: host, port, database, collection, user, password, protocol.",
        old="CELERY_ARANGODB_BACKEND_SETTINGS",
    )
    elasticsearch_retry_on_timeout: bool | None = later(
        or_none(FLAG), None, "Elasticsearch: ask again after a timeout.", old="CELERY_ELASTICSEARCH_RETRY_ON_TIMEOUT"
    )
    elasticsearch_max_retries: int | None = later(
        or_none(_COUNT), None, "Elasticsearch: how often, at most.", old="CELERY_ELASTICSEARCH_MAX_RETRIES"
    )
    elasticsearch_timeout: float | None = later(
        or_none(SECONDS), None, "Elasticsearch: seconds to wait for an answer.", old="CELERY_ELASTICSEARCH_TIMEOUT"
    )
    elasticsearch_save_meta_as_text: bool = later(
        FLAG,
        True,
        "Elasticsearch: store results as text instead of as objects.",
        old="CELERY_ELASTICSEARCH_SAVE_META_AS_TEXT",
    )


class CassandraSettings(Group):
    """Say how results in Cassandra are kept."""

    TITLE = "Cassandra"
    WHY = "Cassandra keeps no results in this version"

    cassandra_servers: tuple[str, ...] | None = later(
        or_none(TEXT_LIST), None, "Hosts of the cluster.", old="CASSANDRA_SERVERS"
    )
    cassandra_bundle_path: str | None = later(
        or_none(PATH), None, "Secure connect bundle, instead of hosts.", old="CASSANDRA_BUNDLE_PATH"
    )
    cassandra_port: int | None = later(or_none(PORT), None, "Port; None: 9042.", old="CASSANDRA_PORT")
    cassandra_keyspace: str | None = later(or_none(TEXT), None, "Keyspace of the table.", old="CASSANDRA_KEYSPACE")
    cassandra_table: str | None = later(or_none(TEXT), None, "Table of the results.", old="CASSANDRA_TABLE")
    cassandra_read_consistency: str | None = later(
        or_none(TEXT), None, "Consistency level of reads, such as 'LOCAL_QUORUM'.", old="CASSANDRA_READ_CONSISTENCY"
    )
    cassandra_write_consistency: str | None = later(
        or_none(TEXT), None, "Consistency level of writes.", old="CASSANDRA_WRITE_CONSISTENCY"
    )
    cassandra_entry_ttl: float | None = later(
        or_none(SECONDS), None, "Seconds after which the server deletes a result.", old="CASSANDRA_ENTRY_TTL"
    )
    cassandra_auth_provider: str | None = later(
        or_none(TEXT), None, "Class in `cassandra.auth` that logs in.", old="CASSANDRA_AUTH_PROVIDER"
    )
    cassandra_auth_kwargs: Mapping[str, Any] | None = later(
        or_none(MAPPING), None, "Its arguments.", old="CASSANDRA_AUTH_KWARGS"
    )
    cassandra_options: Mapping[str, Any] = later(
        MAPPING, {}, "Further arguments of the cluster's client.", old="CASSANDRA_OPTIONS"
    )


class CloudSettings(Group):
    """Say how results in the stores of cloud providers are kept."""

    TITLE = "Cloud stores"
    WHY = "cloud stores keep no results in this version"

    s3_access_key_id: str | None = later(or_none(TEXT), None, "S3: id of the access key.", old="S3_ACCESS_KEY_ID")
    s3_secret_access_key: str | bytes | None = later(
        or_none(PASSWORD), None, "S3: the access key.", old="S3_SECRET_ACCESS_KEY"
    )
    s3_bucket: str | None = later(or_none(TEXT), None, "S3: bucket of the results.", old="S3_BUCKET")
    s3_base_path: str | None = later(or_none(ANY_TEXT), None, "S3: what keys begin with.", old="S3_BASE_PATH")
    s3_endpoint_url: str | None = later(or_none(URL), None, "S3: where the service is.", old="S3_ENDPOINT_URL")
    s3_region: str | None = later(or_none(TEXT), None, "S3: region of the bucket.", old="S3_REGION")
    gcs_bucket: str | None = later(or_none(TEXT), None, "Google: bucket of the results.", old="GCS_BUCKET")
    gcs_project: str | None = later(or_none(TEXT), None, "Google: project of the bucket.", old="GCS_PROJECT")
    gcs_base_path: str = later(ANY_TEXT, "", "Google: what keys begin with.", old="GCS_BASE_PATH")
    gcs_ttl: float = later(NUMBER, 0, "Google: seconds after which a result is deleted; 0: never.", old="GCS_TTL")
    gcs_threadpool_maxsize: int = later(_POSITIVE, 10, "Google: most threads that read results.", old=None)
    firestore_project: str | None = later(or_none(TEXT), None, "Google: project in which chords are counted.", old=None)
    azureblockblob_container_name: str = later(
        TEXT, "celery", "Azure: container of the results.", old="AZUREBLOCKBLOB_CONTAINER_NAME"
    )
    azureblockblob_base_path: str = later(
        ANY_TEXT, "", "Azure: what names of blobs begin with.", old="AZUREBLOCKBLOB_BASE_PATH"
    )
    azureblockblob_retry_initial_backoff_sec: float = later(
        SECONDS,
        2.0,
        "Azure: seconds before the first further attempt.",
        old="AZUREBLOCKBLOB_RETRY_INITIAL_BACKOFF_SEC",
    )
    azureblockblob_retry_increment_base: float = later(
        NUMBER, 2, "Azure: factor by which that grows.", old="AZUREBLOCKBLOB_RETRY_INCREMENT_BASE"
    )
    azureblockblob_retry_max_attempts: int = later(
        _COUNT, 3, "Azure: most attempts.", old="AZUREBLOCKBLOB_RETRY_MAX_ATTEMPTS"
    )
    azureblockblob_connection_timeout: float = later(
        SECONDS, 20.0, "Azure: seconds to wait for a connection.", old="AZUREBLOCKBLOB_CONNECTION_TIMEOUT"
    )
    azureblockblob_read_timeout: float = later(
        SECONDS, 120.0, "Azure: seconds to wait for an answer.", old="AZUREBLOCKBLOB_READ_TIMEOUT"
    )
    cosmosdbsql_database_name: str = later(
        TEXT, "celerydb", "Cosmos DB: database of the results.", old="COSMOSDBSQL_DATABASE_NAME"
    )
    cosmosdbsql_collection_name: str = later(
        TEXT, "celerycol", "Cosmos DB: their collection.", old="COSMOSDBSQL_COLLECTION_NAME"
    )
    cosmosdbsql_consistency_level: str = later(
        TEXT, "Session", "Cosmos DB: consistency level.", old="COSMOSDBSQL_CONSISTENCY_LEVEL"
    )
    cosmosdbsql_max_retry_attempts: int = later(
        _COUNT, 9, "Cosmos DB: most attempts.", old="COSMOSDBSQL_MAX_RETRY_ATTEMPTS"
    )
    cosmosdbsql_max_retry_wait_time: float = later(
        SECONDS, 30.0, "Cosmos DB: seconds between two attempts at most.", old="COSMOSDBSQL_MAX_RETRY_WAIT_TIME"
    )
    dynamodb_endpoint_url: str | None = later(or_none(URL), None, "DynamoDB: where the service is.", old=None)
