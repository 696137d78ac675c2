"""Every statement that is sent to BigQuery and Snowflake is one that the real ones take."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlglot import exp, parse_one

from schemas.tables import Table, tables
from sinks.warehouse.bigquery import qualified
from sinks.warehouse.engine import Dialect
from sinks.warehouse.snowflake import granted
from sinks.warehouse.statements import create_table
from tests.conftest import unavailable
from tests.services import Missing, refusals
from tests.sinks.warehouse.statements import objections, statements

RECURSIVE = (
    "WITH RECURSIVE walk AS (SELECT 1 AS n {union} SELECT {term} FROM walk WHERE n < 5) SELECT n FROM walk"
)
OURS = "SELECT a.n FROM nexus_work_a AS a "

# What DuckDB takes, and so an emulator may take it, too.
ONLY_EMULATORS = {
    "SELECT LIST_CONTAINS([1], 1)": "LIST_CONTAINS",
    "SELECT STRFTIME(a.n, '%Y') FROM nexus_work_a AS a": "STRFTIME",
    "SELECT COUNT(*) FILTER (WHERE a.n > 1) FROM nexus_work_a AS a": "FILTER",
    "SELECT DISTINCT ON (a.n) a.n FROM nexus_work_a AS a": "DISTINCT ON",
    OURS + "SEMI JOIN nexus_work_b AS b ON a.n = b.n": "SEMI",
    OURS + "LEFT JOIN nexus_work_b AS b ON a.n < b.n": "without an equality",
    OURS + "FULL JOIN nexus_work_b AS b ON a.n = b.n OR a.n = b.m": "without an equality",
    RECURSIVE.format(union="UNION", term="n + 1"): "union",
    RECURSIVE.format(union="UNION ALL", term="MAX(n) + 1"): "MAX in a recursive term",
    RECURSIVE.format(union="UNION ALL", term="DISTINCT n + 1"): "DISTINCT in a recursive term",
    "SELECT 1 FROM": "does not parse",
    "PRAGMA memory_limit = '1GB'": "no statement",
}

# What BigQuery refuses beside these, and its emulator may not.
REFUSED_BY_GOOGLE = (
    "SELECT source FROM nexus_events WHERE source ILIKE 'a'",
    "SELECT log_offset::STRING FROM nexus_events",
    "SELECT source FROM nexus_events UNION SELECT topic FROM nexus_events",
    "SELECT nothing_such FROM nexus_events",
    "SELECT source + 1 FROM nexus_events",
    "SELECT source FROM nexus_events WHERE log_offset = 'a'",
    "CREATE TABLE nexus_x (a INT32)",
    RECURSIVE.format(union="UNION ALL", term="MAX(n) + 1"),
)


@pytest.mark.parametrize("dialect", ["bigquery", "snowflake"])
def test_every_statement_is_of_its_dialect(dialect: Dialect, tmp_path: Path) -> None:
    """Grammar, functions and the rules of recursions and joins: nothing that only an emulator takes."""
    found = {statement: objections(statement, dialect) for statement in statements(dialect, tmp_path)}
    assert len(found) > 100
    assert {statement: against for statement, against in found.items() if against} == {}


@pytest.mark.parametrize("table", tables().values(), ids=lambda table: table.name)
def test_rows_lie_as_declared(table: Table) -> None:
    """By month and by what is to lie together: so says the statement; the emulators do not tell."""
    months = [table.partition_by] if table.partition_by else []
    bytes_ = {column.name for column in table.columns if column.type == "bytes"}  # BigQuery refuses them
    made = parse_one(create_table("bigquery", table), read="bigquery")
    assert _named(made, exp.PartitionedByProperty) == months
    assert _named(made, exp.ClusterProperty) == [name for name in table.cluster_by if name not in bytes_]
    made = parse_one(create_table("snowflake", table), read="snowflake")
    assert _named(made, exp.ClusterProperty) == [*months, *table.cluster_by]


def _named(made: exp.Expr, kind: type[exp.Expr]) -> list[str]:
    return [column.name for found in made.find_all(kind) for column in found.find_all(exp.Column, bfs=False)]


@pytest.mark.parametrize("dialect", ["bigquery", "snowflake"])
@pytest.mark.parametrize("statement", ONLY_EMULATORS)
def test_what_only_emulators_take_is_refused(dialect: Dialect, statement: str) -> None:
    """The check finds each of the known ways to be wrong on the real warehouse alone."""
    assert ONLY_EMULATORS[statement].lower() in " ".join(objections(statement, dialect)).lower()


def test_a_view_in_bigquery_names_tables_in_full(tmp_path: Path) -> None:
    """It is looked at by requests that know nothing of our dataset; other statements stay as they are."""
    ours = [statement for statement in statements("bigquery", tmp_path) if "OR REPLACE VIEW" in statement]
    assert len({*ours}) == 6
    for statement in ours:
        made = parse_one(qualified(statement, "ours.set"), read="bigquery")
        assert {f"{table.catalog}.{table.db}" for table in made.expression.find_all(exp.Table)} == {
            "ours.set"
        }
    assert qualified("SELECT 1 FROM nexus_events", "ours.set") == "SELECT 1 FROM nexus_events"


def test_a_view_in_snowflake_keeps_its_readers(tmp_path: Path) -> None:
    """To replace a view takes it from who may read it, unless it says otherwise; all else stays as it is."""
    ours = [statement for statement in statements("snowflake", tmp_path) if "OR REPLACE VIEW" in statement]
    assert len({*ours}) == 6
    for statement in ours:
        assert parse_one(granted(statement), read="snowflake").find(exp.CopyGrantsProperty)
        assert granted(statement).replace(" COPY GRANTS AS", " AS") == statement
    assert granted("CREATE OR REPLACE TABLE a AS\nSELECT 1") == "CREATE OR REPLACE TABLE a AS\nSELECT 1"


@pytest.mark.services
@pytest.mark.timeout(500)
def test_every_statement_of_bigquery_is_googlesql(tmp_path: Path) -> None:
    """Google's analyzer takes all of them, with the types of the tables, and refuses what BigQuery does."""
    ours = statements("bigquery", tmp_path)
    try:
        found = refusals([*ours, *REFUSED_BY_GOOGLE])
    except Missing as missing:
        unavailable(missing)
    wrong = {statement: why for statement, why in zip(ours, found, strict=False) if why}
    assert wrong == {}
    assert all(found[len(ours) :])
