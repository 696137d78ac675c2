"""Every statement of the project in one dialect, and what the real warehouse would have against it.

The emulators run on DuckDB and take what DuckDB takes. So BigQuery's statements also go through Google's
analyzer (`tests.services.refusals`), and both vendors' through what stands here: their dialect's grammar as
sqlglot knows it, a list of the functions that their manuals have, and rules of theirs that no grammar says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final

from sqlglot import exp, parse_one, tokenize
from sqlglot.errors import SqlglotError

from resolver.authoritative import statement
from resolver.reconcile import _IN_STRETCH, _STRETCHES, _WANTED
from resolver.stream_answer import _STREAM
from schemas.tables import Column, ColumnType, Table, tables
from sinks.warehouse.arrow import write_parquet
from sinks.warehouse.engine import PLACEHOLDER, Dialect
from sinks.warehouse.snowflake import LEFT
from sinks.warehouse.statements import TYPES, add_column, create_table, keys_of, merge, remove
from sinks.warehouse.tabled import ERASURES, HOLDS, RELEASE, look, make, move, naming, take
from tests.resolver.scribe import Asked, asked

# Whoever needs another one looks it up in the vendor's manual, and adds it.
FUNCTIONS: Final[Mapping[Dialect, str]] = {
    "bigquery": """
        ANY_VALUE BYTE_LENGTH CAST CHAR_LENGTH COALESCE COUNT CURRENT_TIMESTAMP DENSE_RANK GREATEST JSON_VALUE
        LAG LEAD LEAST LENGTH LOWER MAX MIN MOD RANK REGEXP_CONTAINS ROW_NUMBER STRING_AGG SUBSTR SUM
        TIMESTAMP_MILLIS TIMESTAMP_TRUNC TO_HEX UNIX_MILLIS
    """,
    "snowflake": """
        CAST COALESCE COUNT CURRENT_SCHEMA CURRENT_TIMESTAMP DATEADD DATE_PART DATE_TRUNC DENSE_RANK GREATEST
        HEX_ENCODE JSON_EXTRACT_PATH_TEXT LAG LEAD LEAST LENGTH LISTAGG LOWER MAX MIN MIN_BY MOD OCTET_LENGTH
        RANK REGEXP_LIKE ROW_NUMBER SUBSTR SUM TO_TIMESTAMP_NTZ
    """,
}
_TYPES: Final = "NUMBER TIMESTAMP_NTZ"
_WORDS: Final = "ALL AND AS BY EXISTS FROM GROUP IN INSERT JOIN NOT ON OR OVER THEN USING VALUES WHEN WHERE"
_STATEMENTS: Final = (
    *(exp.Select, exp.Union, exp.Create, exp.Alter, exp.Drop, exp.Insert, exp.Merge, exp.Update, exp.Delete),
    *(exp.Transaction, exp.Commit),
)
_NOT_RECURSIVE: Final = (exp.AggFunc, exp.Distinct, exp.Group, exp.Limit, exp.Order, exp.Window)
_DUCKDBS: Final = (exp.Filter, exp.Lambda)  # aggregates with FILTER, and functions of lists
_OUTER: Final = frozenset({"LEFT", "RIGHT", "FULL"})


def statements(dialect: Dialect, folder: Path) -> list[str]:
    """All of them, in an order in which they can run: tables, what a load says, the resolution."""
    made = [table for table in tables().values() if table.layer != "view"]
    stages = [create_table(dialect, table).replace(table.name, f"{table.name}__x", 1) for table in made]
    merges = [merge(dialect, table, f"{table.name}__x", _file(folder, table), HOLDS) for table in made]
    removals = [
        remove(dialect, keys_of(table), f"{table.name}__x", _file(folder, table), HOLDS) for table in made
    ]
    added = add_column(dialect, made[0], Column("nexus_added", "instant", "Of a later version."))
    created = [create_table(dialect, table) for table in made]
    log = [make(dialect), look(dialect), take(dialect), move(dialect), RELEASE, ERASURES]
    log.append(f"SELECT said.source FROM nexus_events AS said{naming(dialect, 2)}")
    if dialect == "snowflake":
        log.append(LEFT)
    ours = [_bound(dialect, one) for one in (*created, added, *stages, *log, *merges, *removals)]
    return ours + [_written(dialect, one) for one in asked(dialect)] + _comparing(dialect)


def _comparing(dialect: Dialect) -> list[str]:
    """What reconcile and rebuild ask besides, where a resolution was made."""
    columns: Mapping[str, Mapping[str, ColumnType]] = {
        "nexus_stream_identifiers": {"identifier_key": "bytes", "entity_id": "text"},
        **{f"nexus_stream_{name}": columns for name, columns in _STREAM.items()},
        "nexus_work_wanted": {"identifier_key": "bytes"},
        "nexus_work_concerned": {"entity_id": "text"},
        "nexus_work_stretch": {
            "topic": "text", "log_partition": "int", "first_offset": "int", "last_offset": "int"
        },
    }  # fmt: skip
    kinds = ("identifiers", "traits", "memberships", "states")
    names = (
        "compared",
        "one_with",
        "wanted_events",
        *(f"drift_{kind}" for kind in kinds),
        "concerned",
        "entities_of",
        "everyone",
    )
    queries = (query.format(table="nexus_person_traits") for query in (_STRETCHES, _IN_STRETCH, _WANTED))
    small = (_small(dialect, *table) for table in columns.items())
    return [*small, *(statement(dialect, name) for name in names), *queries]


def _written(dialect: Dialect, asked: Asked) -> str:
    if isinstance(asked, str):
        return asked
    return create_table(dialect, asked) if isinstance(asked, Table) else _small(dialect, *asked)


def _bound(dialect: Dialect, statement: str) -> str:
    """With the parameters as the engine writes them."""
    return PLACEHOLDER.sub(r"@\1" if dialect == "bigquery" else "?", statement)


def _file(folder: Path, table: Table) -> Path:
    """A file of one row for the table: what a merge asks of it is when its rows were."""
    example = {"text": "a", "bytes": b"a", "int": 1, "float": 1.0, "bool": True, "instant": 0, "json": "{}"}
    file = folder / f"{table.name}.parquet"
    columns = {column.name: column.type for column in table.columns}
    write_parquet(file, columns, [tuple(example[kind] for kind in columns.values())])
    return file


def objections(statement: str, dialect: Dialect) -> list[str]:
    """What the warehouse would not take, or only its emulator does. Nothing, if all is well."""
    try:
        parsed = parse_one(statement, read=dialect)
    except SqlglotError as error:
        return [f"does not parse: {str(error).splitlines()[0]}"]
    if type(parsed) not in _STATEMENTS:
        return ["is no statement of this dialect"]
    of_parts = (found for check in (_duckdbs, _joins, _recursions) for found in check(parsed))
    return [*_unknown_functions(statement, dialect), *of_parts]


def _small(dialect: Dialect, name: str, columns: Mapping[str, ColumnType]) -> str:
    """A small table as `Engine.replace` makes it."""
    declared = ", ".join(f"{column} {TYPES[dialect][kind]}" for column, kind in columns.items())
    return f"CREATE OR REPLACE TABLE {name} ({declared})"


def _unknown_functions(statement: str, dialect: Dialect) -> Iterator[str]:
    """As they are written: sqlglot would take one dialect's name for another's."""
    known = {*FUNCTIONS[dialect].split(), *_TYPES.split(), *_WORDS.split()}
    for token, after in pairwise(tokenize(statement, read=dialect)):
        name = token.text.upper().split()[-1] if token.text.strip() else ""
        is_call = after.text == "(" and name[:1].isalpha() and not name.startswith("NEXUS_")
        if is_call and name not in known:
            yield f"{name} is not on the list of functions"


def _duckdbs(parsed: exp.Expr) -> Iterator[str]:
    for found in parsed.find_all(*_DUCKDBS):
        yield f"only DuckDB takes {found.sql()}"
    for distinct in parsed.find_all(exp.Distinct):
        if distinct.args.get("on"):
            yield "only DuckDB takes DISTINCT ON"


def _joins(parsed: exp.Expr) -> Iterator[str]:
    for join in parsed.find_all(exp.Join):
        if join.kind in ("SEMI", "ANTI", "POSITIONAL") or join.method in ("ASOF", "POSITIONAL"):
            yield f"only DuckDB takes {join.sql()}"
        condition = join.args.get("on")
        if join.side in _OUTER and not (condition and _is_equality(condition)):
            yield f"BigQuery takes no outer join without an equality: {join.sql()}"


def _is_equality(condition: exp.Expr) -> bool:
    parts = condition.flatten() if isinstance(condition, exp.And) else [condition]
    return any(isinstance(part.unnest(), exp.EQ) for part in parts)


def _recursions(parsed: exp.Expr) -> Iterator[str]:
    """BigQuery takes no aggregate in a recursive term, Snowflake none of these, and only UNION ALL."""
    for cte in parsed.find_all(exp.CTE):
        if not any(table.name == cte.alias for table in cte.this.find_all(exp.Table)):
            continue
        if not isinstance(cte.this, exp.Union) or cte.this.args.get("distinct"):
            yield f"{cte.alias}: a recursion is a UNION ALL"
            continue
        for found in cte.this.expression.find_all(*_NOT_RECURSIVE):
            yield f"{cte.alias}: no {type(found).__name__.upper()} in a recursive term"
