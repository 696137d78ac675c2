"""The event log in a folder as DuckDB reads it."""

from pathlib import Path

import duckdb

from schemas.log_rows import Row, Rows
from schemas.tables import LOG, Table
from sinks.warehouse.segments import Manifest


def manifest(folder: Path) -> Manifest:
    """The manifest as it is now."""
    found = Manifest.read(folder)
    assert found is not None
    return found


def read(folder: Path, table: Table) -> list[Row]:
    """The rows of a table, instants as milliseconds, in some fixed order."""
    return read_all(folder, (table,)).get(table.name, [])


def read_all(folder: Path, tables: tuple[Table, ...] = LOG) -> Rows:
    """The rows of all tables that have some, as of one moment."""
    with duckdb.connect() as session:
        session.execute(manifest(folder).to_sql(folder))
        found = {table.name: session.execute(_select(table)).fetchall() for table in tables}
    return in_order(found)


def _select(table: Table) -> str:
    columns = (f"epoch_ms({one.name})" if one.type == "instant" else one.name for one in table.columns)
    return f"SELECT {', '.join(columns)} FROM {table.name}"


def in_order(rows: Rows) -> Rows:
    """To compare: in a fixed order, without tables that have no row."""
    return {name: sorted(listed, key=repr) for name, listed in rows.items() if listed}
