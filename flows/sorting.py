"""Sorting more than fits in memory: sorted pieces on disk, then one merge that streams."""

import heapq
import json
import tempfile
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import IO

Row = tuple[str, ...]

_PIECE = 250_000


def sorted_rows(rows: Iterable[Row], key_length: int, piece: int = _PIECE) -> Iterator[Row]:
    """The rows in the order of their first `key_length` fields; of rows with equal ones the last that came.

    Memory holds one piece of rows, whatever their number. What is on disk is unlinked from the beginning,
    so nothing stays when the process ends, however it ends.
    """
    rest = iter(rows)
    pieces: list[Iterator[Row]] = []
    while taken := list(islice(rest, piece)):
        in_order = _sorted(taken, key_length)
        if len(taken) < piece and not pieces:
            yield from in_order
            return
        pieces.append(_on_disk(in_order))
    yield from _last_of_each(heapq.merge(*pieces, key=lambda row: row[:key_length]), key_length)


def _sorted(rows: Iterable[Row], key_length: int) -> list[Row]:
    last = {row[:key_length]: row for row in rows}
    return [last[key] for key in sorted(last)]


def _on_disk(rows: list[Row]) -> Iterator[Row]:
    file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 -- read until the merge has ended
    file.writelines(json.dumps(row) + "\n" for row in rows)
    file.seek(0)
    return _read(file)


def _read(file: IO[str]) -> Iterator[Row]:
    with file:
        for line in file:
            yield tuple(json.loads(line))


def _last_of_each(rows: Iterator[Row], key_length: int) -> Iterator[Row]:
    """Equal keys stand together, in the order of their pieces: the merge is stable."""
    held: Row | None = None
    for row in rows:
        if held is not None and row[:key_length] != held[:key_length]:
            yield held
        held = row
    if held is not None:
        yield held
