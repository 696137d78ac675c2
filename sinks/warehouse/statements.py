"""The statements that are made from the declaration of the tables, in all dialects."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from schemas.tables import Column, ColumnType, Table, quoted
from sinks.warehouse.arrow import span_of
from sinks.warehouse.engine import Dialect, checked_id

TYPES: Final[Mapping[Dialect, Mapping[ColumnType, str]]] = {
    "duckdb": {
        "text": "VARCHAR",
        "bytes": "BLOB",
        "int": "BIGINT",
        "float": "DOUBLE",
        "bool": "BOOLEAN",
        "instant": "TIMESTAMP WITH TIME ZONE",
        "json": "VARCHAR",
    },
    "bigquery": {
        "text": "STRING",
        "bytes": "BYTES",
        "int": "INT64",
        "float": "FLOAT64",
        "bool": "BOOL",
        "instant": "TIMESTAMP",
        "json": "STRING",
    },
    "snowflake": {
        "text": "VARCHAR",
        "bytes": "BINARY",
        "int": "NUMBER(38, 0)",
        "float": "FLOAT",
        "bool": "BOOLEAN",
        "instant": "TIMESTAMP_NTZ(3)",  # in UTC, as dbt users have them
        "json": "VARCHAR",
    },
}
_INSTANTS: Final[Mapping[Dialect, str]] = {
    "duckdb": "TIMESTAMPTZ '{}+00'",
    "bigquery": "TIMESTAMP '{}+00'",
    "snowflake": "TO_TIMESTAMP_NTZ('{}')",
}
_NOT_CLUSTERED: Final[frozenset[ColumnType]] = frozenset({"bytes", "float"})  # BigQuery refuses these


def create_table(dialect: Dialect, table: Table) -> str:
    """Make the table if it is missing."""
    columns = ",\n".join(f"    {_column(dialect, column)}" for column in table.columns)
    return f"CREATE TABLE IF NOT EXISTS {table.name} (\n{columns}\n){_layout(dialect, table)}"


def add_column(dialect: Dialect, table: Table, column: Column) -> str:
    """Make a column that is missing. The rows that are there have nothing in it."""
    named = quoted(dialect, column.name)
    return f"ALTER TABLE {table.name} ADD COLUMN {named} {TYPES[dialect][column.type]}"


class Staged(NamedTuple):
    """One file of a load: the table, with the columns that the file has, the name of the table that the file
    is put into first, and whether its rows are to go.
    """

    table: Table
    file: Path
    stage: str
    is_gone: bool

    @property
    def columns(self) -> Mapping[str, ColumnType]:
        """What the file has."""
        return {column.name: column.type for column in self.table.columns}

    def statement(self, dialect: Dialect, loaded: str, holds: str) -> str:
        """What a load does with the rows of `loaded`, where `holds` is true."""
        return (remove if self.is_gone else merge)(dialect, self.table, loaded, self.file, holds)


def staged(load_id: str, files: Mapping[Table, Path], gone: Mapping[Table, Path]) -> list[Staged]:
    """The files of a load in the order in which they count: rows may come back under the keys of others."""
    checked_id(load_id)
    going = [
        Staged(keys_of(table), file, f"{table.name}__{load_id}_gone", is_gone=True)
        for table, file in gone.items()
    ]
    return going + [
        Staged(table, file, f"{table.name}__{load_id}", is_gone=False) for table, file in files.items()
    ]


def keys_of(table: Table) -> Table:
    """The table with the columns alone that tell which row it is, and where it lies."""
    names = {*table.key, table.partition_by}
    return replace(table, columns=tuple(column for column in table.columns if column.name in names))


def merge(dialect: Dialect, table: Table, loaded: str, file: Path, holds: str = "TRUE") -> str:
    """Add the rows of `loaded` whose keys are not in the table yet; of several with one key, one.

    `file` is what was loaded. A row's key says when it was, so only that part of the table is looked at.
    """
    columns, key = ", ".join(table.names), ", ".join(table.key)
    values = ", ".join(f"loaded.{name}" for name in table.names)
    return f"""MERGE INTO {table.name} AS there
USING (
    SELECT {columns}
    FROM {loaded}
    WHERE {holds}
    QUALIFY ROW_NUMBER() OVER (PARTITION BY {key} ORDER BY {key}) = 1
) AS loaded
ON {_same(table.key)}{_within(dialect, table, file)}
WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"""


def remove(dialect: Dialect, table: Table, loaded: str, file: Path, holds: str = "TRUE") -> str:
    """Take the rows out of the table whose keys stand in `loaded`."""
    return f"""MERGE INTO {table.name} AS there
USING (
    SELECT DISTINCT {", ".join(table.key)}
    FROM {loaded}
    WHERE {holds}
) AS loaded
ON {_same(table.key)}{_within(dialect, table, file)}
WHEN MATCHED THEN DELETE"""


def _same(key: Iterable[str]) -> str:
    return " AND ".join(f"there.{name} = loaded.{name}" for name in key)


def _within(dialect: Dialect, table: Table, file: Path) -> str:
    """Where in the table the rows of a file can be: else a load would read all that came before it."""
    span = span_of(file, table.partition_by) if table.partition_by else None
    if span is None:
        return ""
    first, last = (_INSTANTS[dialect].format(instant.strftime("%Y-%m-%d %H:%M:%S.%f")) for instant in span)
    return f"\n    AND there.{table.partition_by} BETWEEN {first} AND {last}"


def _column(dialect: Dialect, column: Column) -> str:
    missing = " NOT NULL" if column.is_required else ""
    return f"{quoted(dialect, column.name)} {TYPES[dialect][column.type]}{missing}"


def _layout(dialect: Dialect, table: Table) -> str:
    """How the rows lie: by month, and within it by what queries ask for. DuckDB needs no word for it."""
    match dialect:
        case "bigquery":
            types = {column.name: column.type for column in table.columns}
            names = [name for name in table.cluster_by if types[name] not in _NOT_CLUSTERED]
            months = (
                f"\nPARTITION BY TIMESTAMP_TRUNC({table.partition_by}, MONTH)" if table.partition_by else ""
            )
            return months + (f"\nCLUSTER BY {', '.join(names[:4])}" if names else "")
        case "snowflake":
            months_first = [f"DATE_TRUNC('MONTH', {table.partition_by})"] if table.partition_by else []
            by = [*months_first, *table.cluster_by]
            return f"\nCLUSTER BY ({', '.join(by)})" if by else ""
    return ""
