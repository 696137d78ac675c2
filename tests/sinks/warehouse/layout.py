"""How a table lies in a warehouse, as far as that can tell: to compare with how it is declared."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from schemas.tables import Table
from sinks.warehouse.bigquery import BigQuery
from sinks.warehouse.engine import Engine
from sinks.warehouse.statements import TYPES


class Layout(NamedTuple):
    """Whether each column must have a value, and by what the table is divided and ordered; None: no word."""

    required: Mapping[str, bool]
    partition: str | None = None
    cluster: tuple[str, ...] | None = None


def layout(engine: Engine, table: str) -> Layout:
    """How a table lies."""
    if isinstance(engine, BigQuery):
        return _of_bigquery(engine, table)
    if engine.dialect == "snowflake":
        rows = engine.rows(f"DESCRIBE TABLE {table}")
        return Layout({str(name).lower(): null == "N" for name, _, _, null, *_ in rows})
    query = "SELECT column_name, NOT is_nullable FROM duckdb_columns() WHERE table_name = $name"
    return Layout(dict(engine.rows(query, {"name": table})))


def _of_bigquery(engine: BigQuery, table: str) -> Layout:
    there = engine.client.get_table(engine._named(table))
    months = there.time_partitioning
    return Layout(
        {field.name: field.mode == "REQUIRED" for field in there.schema},
        f"{months.type_} {months.field}" if months else None,
        tuple(there.clustering_fields or ()) or None,
    )


def declared(engine: Engine, table: Table) -> Layout:
    """How a table should lie."""
    required = {column.name: column.is_required for column in table.columns}
    if engine.dialect != "bigquery":
        return Layout(required)
    can = {column.name for column in table.columns if column.type not in ("bytes", "float")}
    months = f"MONTH {table.partition_by}" if table.partition_by else None
    return Layout(required, months, tuple(name for name in table.cluster_by if name in can)[:4] or None)


def types(engine: Engine, table: Table) -> dict[str, str]:
    """The types that the columns of a table should have; without how long a value may be."""
    return {column.name: TYPES[engine.dialect][column.type].partition("(")[0] for column in table.columns}
