"""Rows as Arrow and Parquet have them, with the types that every engine reads as it should."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from schemas.errors import TerminalError
from schemas.tables import ColumnType

TYPES: Final[Mapping[ColumnType, pa.DataType]] = {
    "text": pa.string(),
    "bytes": pa.binary(),
    "int": pa.int64(),
    "float": pa.float64(),
    "bool": pa.bool_(),
    "instant": pa.timestamp("ms", tz="UTC"),
    "json": pa.string(),
}


def arrow_table(columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> pa.Table:
    """The rows, column by column. Instants are given in ms since 1970."""
    schema = pa.schema([(name, TYPES[kind]) for name, kind in columns.items()])
    values = list(zip(*rows, strict=True)) or [()] * len(columns)
    arrays = [pa.array(value, field.type) for value, field in zip(values, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def span_of(file: Path, column: str) -> tuple[datetime, datetime] | None:
    """The first and the last instant of a column; nothing where there is none."""
    try:
        found = pc.min_max(pq.read_table(file, columns=[column])[column]).as_py()
    except pa.ArrowInvalid:
        raise TerminalError(f"{file} is no Parquet file") from None
    return None if found["min"] is None else (found["min"], found["max"])


def write_parquet(file: Path, columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> None:
    """Write a file that `Engine.load` takes."""
    pq.write_table(arrow_table(columns, rows), file)
