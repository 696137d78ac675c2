"""What a caller may rely on, whichever warehouse it is.

One engine is one connection to one schema (BigQuery: dataset), which holds one namespace; one thread uses
it. A statement is GoogleSQL, Snowflake's or DuckDB's SQL, as `dialect` says. A table is named without its
schema, a parameter is written `$name`.

`load` is exactly-once by the tables' keys: whatever became of an earlier try, of this process or another, the
rows of all its files are there once, visible in one moment or not at all. A row whose key is in the table
already is not touched.

Every request has a time limit. What fails in passing, a limit that is over included, raises SinkUnavailable:
the same call may be tried again. What a person must mend raises a TerminalError. No error holds a value of a
row, nor anything secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeAlias

from schemas.errors import NexusError, SinkUnavailable, StartRefused, TerminalError
from schemas.tables import ColumnType, Table

Dialect: TypeAlias = Literal["duckdb", "bigquery", "snowflake"]
Row: TypeAlias = tuple[Any, ...]
"""Instants are datetimes in UTC, bytes are bytes; the rest is what Python has for it."""
Parameters: TypeAlias = Mapping[str, Any]
"""Text, bytes, numbers or truth values by name."""

PLACEHOLDER = re.compile(r"\$([a-z_][a-z0-9_]*)")
NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})
_LOAD_ID = re.compile(r"[a-z0-9_]{1,100}")


@dataclass(frozen=True, slots=True)
class Condition:
    """A statement that the transaction of a load begins with. Rows come and go only where `holds` is true
    after it.
    """

    statement: str = ""
    holds: str = "TRUE"
    parameters: Parameters = field(default_factory=dict)


ALWAYS: Final = Condition()


class Engine(Protocol):
    """A warehouse. See the module for its promises."""

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""

    def create(self, tables: Iterable[Table]) -> None:
        """Make the tables that are missing, and the columns that are missing in those that are there.

        StartRefused if a column is there with another type: the message says which, and what to do.
        """

    def execute(self, sql: str, parameters: Parameters | None = None) -> None:
        """Run a statement to its end."""

    def rows(self, sql: str, parameters: Parameters | None = None) -> Iterator[Row]:
        """Run a query; its rows as they come."""

    def together(self, statements: Iterable[str]) -> None:
        """Run statements in one transaction: others see what all of them do in one moment, or, where one
        fails, nothing of it. None of them makes or changes a table itself.
        """

    def columns(self, table: str) -> Mapping[str, str]:
        """The types of the columns of a table or view that is there, by name, as the warehouse calls them."""

    def load(
        self,
        load_id: str,
        files: Mapping[Table, Path],
        gone: Mapping[Table, Path] = NOTHING,
        condition: Condition = ALWAYS,
    ) -> None:
        """Return when the rows of all Parquet files are in their tables, and those whose keys stand in the
        files of `gone` (their keys, and what the table is divided by: see `statements.keys_of`) were taken
        out before, all of it in one transaction. The id names the load: the same files have the same one,
        other files another one (lower case letters, digits, `_`).
        """

    def replace(self, table: str, columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> None:
        """Make a small table of these rows, in the place of any that has its name. Instants are in ms."""

    def close(self) -> None:
        """Let go of the connection. Closing twice is harmless."""


def checked_id(load_id: str) -> str:
    """The id of a load, which becomes part of names of jobs, files and tables."""
    if not _LOAD_ID.fullmatch(load_id):
        raise ValueError("the id of a load is of lower case letters, digits and _")
    return load_id


def failed(what: str, why: str, is_passing: bool) -> NexusError:
    """The error to raise for what could not be done."""
    return (SinkUnavailable if is_passing else TerminalError)(f"cannot {what}: {why}")


def first_line(sql: str) -> str:
    """What a statement is called in an error: its first line that is no comment, without any value."""
    lines = (line.strip() for line in sql.splitlines())
    line = next((line for line in lines if line and not line.startswith("--")), "nothing")
    return re.sub(r"'[^']*'", "'…'", line)[:80]


def other_type(table: str, column: str, there: str, wanted: str) -> StartRefused:
    """A column that cannot be what it should be."""
    return StartRefused(
        f"{table}.{column} is of type {there} in the warehouse, and {wanted} is needed: rename the table, "
        "and Nexus makes it anew"
    )
