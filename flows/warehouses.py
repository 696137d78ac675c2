"""The one place that knows how the settings lead to a warehouse."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from flows.settings import Settings
from schemas.errors import SettingsError
from schemas.identifiers import Keyring
from sinks.warehouse.engine import Engine
from sinks.warehouse.promise import EventLog

NONE = "there is no event log to archive into: set warehouse.engine to duckdb, bigquery or snowflake"


def event_log(settings: Settings, keyring: Keyring, step: Callable[[str], None]) -> EventLog:
    """Where the event log is kept. `step` is told of the points at which its writing may be killed."""
    if settings.warehouse_engine == "none":
        raise SettingsError(NONE)
    if settings.warehouse_engine == "duckdb":
        from sinks.warehouse.segments import SegmentedEventLog

        return SegmentedEventLog(settings.data / settings.namespace / "events", keyring, step)
    from sinks.warehouse.tabled import TabledEventLog

    _refuse_what_cannot_connect(settings)
    lease_s = 120 + 2 * settings.warehouse.waits_s  # whoever is at work loads more often than that
    return TabledEventLog(lambda: connect(settings), keyring, lease_s, step)


def _refuse_what_cannot_connect(settings: Settings) -> None:
    """Raise SettingsError for what needs no network to be seen: a warehouse that is away is waited for."""
    if settings.warehouse_engine == "bigquery":
        connect(settings).close()  # it only looks for its credentials
        return
    from sinks.warehouse.snowflake import connector

    connector()
    file = settings.warehouse.snowflake.private_key_file
    if file is not None and not file.is_file():
        raise SettingsError(f"warehouse.snowflake.private_key_file: there is no file {file}")


def connect(settings: Settings) -> Engine:
    """A connection to the warehouse in the cloud that the settings name."""
    if settings.warehouse_engine == "bigquery":
        from sinks.warehouse.bigquery import BigQuery

        section = settings.warehouse.bigquery
        assert section.project is not None, "the settings were checked"
        return BigQuery(
            section.project,
            section.dataset or _default(settings),
            location=section.location,
            endpoint=section.endpoint,
        )
    from sinks.warehouse.snowflake import Snowflake

    found = settings.warehouse.snowflake
    assert found.database is not None, "the settings were checked"
    return Snowflake(found.database, found.schema_name or _default(settings), **_snowflake_options(settings))


def place(settings: Settings) -> str | None:
    """Where the event log is, for people; None for nowhere."""
    section = settings.warehouse
    match settings.warehouse_engine:
        case "duckdb":
            return f"{settings.data / settings.namespace / 'events'}"
        case "bigquery":
            return f"BigQuery, {section.bigquery.project}.{section.bigquery.dataset or _default(settings)}"
        case "snowflake":
            schema = section.snowflake.schema_name or _default(settings)
            return f"Snowflake, {section.snowflake.account}, {section.snowflake.database}.{schema}"
    return None


def _default(settings: Settings) -> str:
    """The dataset, or schema, of a namespace."""
    return f"nexus_{settings.namespace.replace('-', '_')}"


def _snowflake_options(settings: Settings) -> dict[str, Any]:
    """What the connector is given beside database and schema. An emulator takes any password."""
    section = settings.warehouse.snowflake
    passphrase = section.private_key_passphrase
    options: dict[str, Any] = {
        "account": section.account,
        "user": section.user,
        "role": section.role,
        "warehouse": section.warehouse,
        "private_key_file": None if section.private_key_file is None else str(section.private_key_file),
        "private_key_file_pwd": None if passphrase is None else passphrase.get_secret_value(),
    }
    if section.endpoint is not None:
        parts = urlsplit(section.endpoint)
        options |= {"protocol": parts.scheme, "host": parts.hostname, "port": parts.port}
        if section.private_key_file is None:
            options["password"] = "any"
    return {name: value for name, value in options.items() if value is not None}
