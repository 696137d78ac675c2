"""DuckDB as the warehouse: one file, which one process at a time may open."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb

from schemas.errors import NexusError
from schemas.tables import ColumnType, Table
from sinks.warehouse.arrow import arrow_table
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
# What these say of a statement are its own words; what others say may hold a value of a row.
_HARMLESS = (duckdb.BinderException, duckdb.CatalogException, duckdb.IOException, duckdb.ParserException)


class DuckDB:
    """An Engine on a DuckDB file. See `engine` for its promises."""

    dialect: Literal["duckdb"] = "duckdb"

    def __init__(self, file: Path) -> None:
        """Open the file, and make it if it is missing. SinkUnavailable while another process has it."""
        with _translated(f"open {file}"):
            self._connection = duckdb.connect(str(file))
            self._connection.execute("SET GLOBAL TimeZone = 'UTC'")
            # in a process that others started DuckDB draws one into the answer
            self._connection.execute("SET enable_progress_bar = false")

    def create(self, tables: Iterable[Table]) -> None:
        """Make what is missing."""
        for table in tables:
            self.execute(create_table(self.dialect, table))
            there = self.columns(table.name)
            for column in table.columns:
                if column.name not in there:
                    self.execute(add_column(self.dialect, table, column))
                elif there[column.name] != TYPES[self.dialect][column.type]:
                    wanted = TYPES[self.dialect][column.type]
                    raise other_type(table.name, column.name, there[column.name], wanted)

    def execute(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement to its end."""
        with _translated(f"run {first_line(sql)}"):
            self._connection.execute(sql, parameters)

    def rows(self, sql: str, parameters: Parameters | None = None) -> Iterator[Row]:
        """Run a query; its rows as they come. Other statements may run meanwhile."""
        with _translated(f"run {first_line(sql)}"), self._connection.cursor() as cursor:
            # by way of Arrow, which has instants without the package that DuckDB wants for them
            for batch in cursor.sql(sql, params=parameters).to_arrow_reader(_ROWS):
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def together(self, statements: Iterable[str]) -> None:
        """Run them in one transaction."""
        with self._connection.cursor() as cursor:  # a transaction that does not end goes with it
            cursor.begin()
            for statement in statements:
                with _translated(f"run {first_line(statement)}"):
                    cursor.execute(statement)
            with _translated("commit"):
                cursor.commit()

    def columns(self, table: str) -> Mapping[str, str]:
        """The columns of a table or view, and their types."""
        return dict(self.rows(_COLUMNS, {"name": table}))

    def load(
        self,
        load_id: str,
        files: Mapping[Table, Path],
        gone: Mapping[Table, Path] = NOTHING,
        condition: Condition = ALWAYS,
    ) -> None:
        """Do all of it in one transaction, on the files as they are."""
        parts = staged(load_id, files, gone)
        with _translated(f"load {load_id}"), self._connection.cursor() as cursor:
            cursor.begin()
            if condition.statement:
                cursor.execute(condition.statement, _named(condition.statement, condition.parameters))
            for part in parts:
                sql = part.statement(self.dialect, "read_parquet($file)", condition.holds)
                cursor.execute(sql, {"file": str(part.file), **_named(condition.holds, condition.parameters)})
            cursor.commit()

    def replace(self, table: str, columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> None:
        """Make a table of these rows."""
        with _translated(f"make {table}"), self._connection.cursor() as cursor:
            cursor.register("given_rows", arrow_table(columns, rows))
            cursor.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM given_rows")

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


_COLUMNS = "SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = $name AND NOT internal"


def _named(sql: str, parameters: Parameters) -> Parameters:
    """Those that the statement has: DuckDB takes no others."""
    return {name: parameters[name] for name in PLACEHOLDER.findall(sql)}


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except duckdb.Error as error:
        raise _error_of(error, what) from None


def _error_of(error: duckdb.Error, what: str) -> NexusError:
    is_passing = isinstance(error, duckdb.IOException | duckdb.TransactionException)
    why = str(error).splitlines()[0] if isinstance(error, _HARMLESS) else type(error).__name__
    return failed(what, why, is_passing)
