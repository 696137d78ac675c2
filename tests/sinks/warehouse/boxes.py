"""A table with a column of every type, and files of rows for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from schemas.tables import Column, Table
from sinks.warehouse.arrow import write_parquet
from sinks.warehouse.engine import Engine, Row

SEEN_MS = 1_767_607_200_123
SEEN = datetime(2026, 1, 5, 10, 0, 0, 123_000, tzinfo=UTC)

BOXES = Table(
    "nexus_boxes",
    "log",
    "One row for each box.",
    (
        Column("name", "text", "Its name."),
        Column("place", "int", "Its place."),
        Column("label", "bytes", "What is on it."),
        Column("size", "float", "How large it is.", is_required=False),
        Column("is_open", "bool", "Whether it is open."),
        Column("seen_at", "instant", "When it was seen."),
        Column("more", "json", "What else."),
    ),
    ("name", "place"),
    "seen_at",
    ("name", "label"),
)
LIDS = replace(BOXES, name="nexus_lids")


def box(name: str, place: int = 1, more: str = "{}") -> Row:
    """A row, as it is given."""
    return (name, place, b"\x00\xff", 1.5, True, SEEN_MS, more)


def file_of(folder: Path, rows: Iterable[Sequence[Any]], table: Table = BOXES) -> Path:
    """A Parquet file of rows of a table."""
    file = folder / f"boxes-{len(list(folder.iterdir()))}.parquet"
    write_parquet(file, {column.name: column.type for column in table.columns}, rows)
    return file


def names(engine: Engine, table: Table = BOXES) -> list[str]:
    """The names of the boxes in a table, each as often as it is there."""
    return [name for (name,) in engine.rows(f"SELECT name FROM {table.name} ORDER BY name, place")]
