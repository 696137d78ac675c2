"""What is in a warehouse: the log in a folder as DuckDB reads it, and what an engine says of a table."""

from pathlib import Path

import duckdb

from schemas.log_rows import Row, Rows
from schemas.tables import LOG, Table
from sinks.warehouse.bigquery import BigQuery
from sinks.warehouse.engine import Engine
from sinks.warehouse.segments import Manifest
from sinks.warehouse.snowflake import Snowflake


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


def required(engine: Engine, table: str) -> dict[str, bool]:
    """Whether each column of a table must have a value, by its name."""
    if isinstance(engine, BigQuery):
        schema = engine.client.get_table(engine._named(table)).schema
        return {field.name: field.mode == "REQUIRED" for field in schema}
    if isinstance(engine, Snowflake):
        rows = engine.rows(f"DESCRIBE TABLE {table}")
        return {str(name).lower(): null == "N" for name, _, _, null, *_ in rows}
    query = "SELECT column_name, NOT is_nullable FROM duckdb_columns() WHERE table_name = $name"
    return dict(engine.rows(query, {"name": table}))
