"""Snowflake as the warehouse: one schema of one database.

A file is copied into a table that only this load has, by way of that table's own stage, which goes with it.
Snowflake remembers which files the table was given, and takes none twice. One transaction then merges all
tables of the load. Exactly-once does not rest on the memory: a merge takes no row whose key is there.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from uuid import uuid4

from schemas.errors import NexusError, SettingsError, SinkUnavailable
from schemas.tables import ColumnType, Table
from sinks.warehouse.arrow import write_parquet
from sinks.warehouse.engine import (
    ALWAYS,
    NOTHING,
    PLACEHOLDER,
    Condition,
    Parameters,
    Row,
    failed,
    first_line,
    other_type,
)
from sinks.warehouse.statements import TYPES, add_column, create_table, staged

_ROWS = 10_000  # that are fetched at once
# bytes stay bytes, and instants are read as such
_FORMAT = "(TYPE = PARQUET BINARY_AS_TEXT = FALSE USE_LOGICAL_TYPE = TRUE)"

LEFT = """
SELECT table_name
FROM information_schema.tables
WHERE
    table_schema = CURRENT_SCHEMA()
    AND table_name LIKE 'NEXUS%'
    AND created < DATEADD(DAY, -1, CURRENT_TIMESTAMP())
"""
_STAGE = re.compile(r"NEXUS_[A-Z_]+__[0-9A-F]{32}(_GONE)?")

_VIEW = re.compile(r"^(CREATE OR REPLACE VIEW \w+) AS$", re.MULTILINE)

_SESSION = {"TIMEZONE": "UTC", "QUERY_TAG": "nexus", "CLIENT_OUT_OF_BAND_TELEMETRY_ENABLED": False}


class Snowflake:
    """An Engine that is a schema. See `engine` for its promises."""

    dialect: Literal["snowflake"] = "snowflake"

    def __init__(
        self, database: str, schema: str, *, patience_s: int = 1800, request_s: int = 60, **connection: Any
    ) -> None:
        """What else is given goes to the connector: `account`, `user`, `private_key_file`,
        `private_key_file_pwd`, `warehouse`, `role` ... `patience_s` is how long one statement may take,
        `request_s` the login, and each wait for the network.
        """
        self._schema, self._patience_s = f"{database}.{schema}", patience_s
        self._is_swept = False
        client = connector()
        what = f"connect to Snowflake for {self._schema}"
        with _translated(what), _keyed(what):
            self._connection = client.connect(
                database=database,
                schema=schema,
                paramstyle="qmark",
                login_timeout=request_s,
                socket_timeout=request_s,
                network_timeout=patience_s,
                session_parameters={**_SESSION, "STATEMENT_TIMEOUT_IN_SECONDS": patience_s},
                **connection,
            )

    def create(self, tables: Iterable[Table]) -> None:
        """Make what is missing, the schema too."""
        ((schema,),) = self.rows("SELECT CURRENT_SCHEMA()")
        if schema is None:  # who may use a schema need not have the right to make one
            self.execute(f"CREATE SCHEMA IF NOT EXISTS {self._schema}")
            self.execute(f"USE SCHEMA {self._schema}")
        for table in tables:
            self.execute(create_table(self.dialect, table))
            there = self.columns(table.name)
            for column in table.columns:
                wanted = _comparable(TYPES[self.dialect][column.type])
                if column.name not in there:
                    self.execute(add_column(self.dialect, table, column))
                elif there[column.name] != wanted:
                    raise other_type(table.name, column.name, there[column.name], wanted)

    def execute(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement to its end."""
        with self._run(sql, parameters):
            pass

    def rows(self, sql: str, parameters: Parameters | None = None) -> Iterator[Row]:
        """Run a query; its rows as they come."""
        with self._run(sql, parameters) as cursor, _translated(f"read what {first_line(sql)} gives"):
            while rows := cursor.fetchmany(_ROWS):
                yield from (tuple(map(_plain, row)) for row in rows)

    def together(self, statements: Iterable[str]) -> None:
        """Run them in one transaction."""
        self._transact(statements, {})

    def columns(self, table: str) -> Mapping[str, str]:
        """The columns of a table or view, and their types without lengths."""
        described = self.rows(f"DESCRIBE TABLE {table}")
        return {str(name).lower(): _comparable(kind) for name, kind, *_ in described}

    def load(
        self,
        load_id: str,
        files: Mapping[Table, Path],
        gone: Mapping[Table, Path] = NOTHING,
        condition: Condition = ALWAYS,
    ) -> None:
        """Stage each file, then do all in one transaction, then drop the stages."""
        self._sweep()
        parts = staged(load_id, files, gone)
        first = [condition.statement] if condition.statement else []
        statements = [part.statement(self.dialect, part.stage, condition.holds) for part in parts]
        for part in parts:
            self._copy(part.file, part.stage, part.columns)
        self._transact([*first, *statements], condition.parameters)
        for part in parts:
            self.execute(f"DROP TABLE IF EXISTS {part.stage}")

    def _sweep(self) -> None:
        """Drop what loads that were given up for good have left, once for each connection."""
        if not self._is_swept:
            for (name,) in list(self.rows(LEFT)):
                if _STAGE.fullmatch(name):
                    self.execute(f"DROP TABLE IF EXISTS {name}")
            self._is_swept = True

    def replace(self, table: str, columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> None:
        """Make a table of these rows, by a file."""
        with TemporaryDirectory(prefix="nexus-") as folder:
            file = Path(folder, f"{uuid4().hex}.parquet")  # never one that a stage has already
            write_parquet(file, columns, rows)
            self.execute(f"DROP TABLE IF EXISTS {table}")
            self._copy(file, table, columns)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()

    def _copy(self, file: Path, table: str, columns: Mapping[str, ColumnType]) -> None:
        """Make the table, and put the rows of the file into it. What did so before changes nothing."""
        types = ", ".join(f"{name} {TYPES[self.dialect][kind]}" for name, kind in columns.items())
        self.execute(f"CREATE TRANSIENT TABLE IF NOT EXISTS {table} ({types})")
        self.execute(f"PUT 'file://{file}' @%{table} AUTO_COMPRESS = FALSE")
        self.execute(
            f"COPY INTO {table} FROM @%{table}/{file.name} FILE_FORMAT = {_FORMAT} "
            "MATCH_BY_COLUMN_NAME = CASE_INSENSITIVE"
        )

    def _transact(self, statements: Iterable[str], parameters: Parameters) -> None:
        """Run them in one transaction."""
        self.execute("BEGIN")
        try:
            for statement in statements:
                self.execute(statement, parameters)
            self.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(NexusError):  # with the connection the transaction is gone as well
                self.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def _run(self, sql: str, parameters: Parameters | None) -> Iterator[Any]:
        text, values = _bound(granted(sql), parameters)
        with self._connection.cursor() as cursor:
            with _translated(f"run {first_line(sql)}"):
                cursor.execute(text, values, timeout=self._patience_s)
            yield cursor


def connector() -> Any:
    """The vendor's client, told not to log statements. Raises SettingsError where it is not installed."""
    try:
        import snowflake.connector
    except ImportError as error:
        raise SettingsError(
            "Snowflake needs its connector: pip install 'nexus-resolver[snowflake]'"
        ) from error
    logging.getLogger("snowflake.connector").setLevel(logging.WARNING)  # below, it tells of statements
    return snowflake.connector


def granted(sql: str) -> str:
    """A statement that makes a view, such that who might read the view before may read it then."""
    return _VIEW.sub(r"\1 COPY GRANTS AS", sql)


def _bound(sql: str, parameters: Parameters | None) -> tuple[str, list[Any] | None]:
    """The statement with its parameters by place, as the connector wants them."""
    if not parameters:
        return sql, None
    return PLACEHOLDER.sub("?", sql), [parameters[name] for name in PLACEHOLDER.findall(sql)]


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    return bytes(value) if isinstance(value, bytearray) else value


def _comparable(kind: str) -> str:
    """A type without what only says how long a value may be, and how many digits an instant has."""
    name, _, rest = kind.upper().partition("(")
    return name + ("(" + rest.replace(" ", "") if name == "NUMBER" else "")


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    from snowflake.connector import errors

    try:
        yield
    except errors.Error as error:
        raise _error_of(error, what) from None
    except OSError as error:  # what the connector's HTTP client raises is one, too
        raise SinkUnavailable(f"cannot {what}: {type(error).__name__}") from None


@contextlib.contextmanager
def _keyed(what: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, PermissionError, TypeError, ValueError) as error:
        # the last two are how a wrong key or passphrase is told
        why = f"{type(error).__name__}; correct key file and passphrase"
        raise SettingsError(f"cannot {what}: {why}") from None


# What these say names tables, columns and users; what others say may hold a value of a row.
_SAYS = {
    904,  # a column that is not there
    1003,  # a statement that does not parse
    2003,  # a table that is not there, or may not be seen
    2043,  # the same of other things
    250001,  # the login failed
    251001,  # no account was named
}


# A session that was idle for hours is over: the next connection begins another.
_SESSION_OVER = {390_111, 390_112, 390_113, 390_114, 390_115}


def _error_of(error: Any, what: str) -> NexusError:
    from snowflake.connector import errors

    of_servers = (
        *(errors.OperationalError, errors.InternalError, errors.InternalServerError),
        *(errors.ServiceUnavailableError, errors.BadGatewayError, errors.GatewayTimeoutError),
        *(errors.RequestTimeoutError, errors.TooManyRequests, errors.OtherHTTPRetryableError),
    )
    is_passing = error.errno in _SESSION_OVER or isinstance(error, of_servers)
    says = " ".join(str(error.raw_msg or "").split()) if error.errno in _SAYS else ""
    why = says or f"{type(error).__name__} {error.errno}"
    return failed(what, why, is_passing)
