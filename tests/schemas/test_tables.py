"""The tables of the warehouse as they are declared."""

import re
from pathlib import Path

from schemas.tables import FINAL, KEPT, LOG, RESOLVED, VIEWS, page, tables


def test_names_are_told_apart() -> None:
    """No table is declared twice, and no column of a table."""
    assert len(tables()) == len((*LOG, *RESOLVED, *FINAL, *VIEWS, *KEPT))
    for table in tables().values():
        assert len(set(table.names)) == len(table.names), table.name


def test_names_need_no_quotes() -> None:
    """Every name is lower case, and none is a word that BigQuery or Snowflake keeps for itself."""
    reserved = {
        "partition",
        "order",
        "group",
        "values",
        "from",
        "to",
        "offset",
        "rows",
        "set",
        "start",
        "end",
    }
    for table in tables().values():
        for name in (table.name, *table.names):
            assert re.fullmatch(r"_?[a-z][a-z0-9_]*", name), name
            assert name not in reserved, f"{table.name}.{name}"


def test_layout_names_columns() -> None:
    """Keys, partitions and clusters are columns of the table; a partition is an instant that is never
    missing.
    """
    for table in tables().values():
        assert set(table.key) | set(table.cluster_by) <= set(table.names), table.name
        if table.partition_by is not None:
            column = table.columns[table.place(table.partition_by)]
            assert (column.type, column.is_required) == ("instant", True)


def test_docs_are_sentences() -> None:
    """Every table and every column says what it is."""
    for table in tables().values():
        for doc in (table.doc, *(column.doc for column in table.columns)):
            assert re.fullmatch(r"[A-Z0-9`][^|]+\.", doc), doc


def test_the_page_tells_of_every_column() -> None:
    """docs/tables.md says what is declared: made anew by `python -m schemas.tables > docs/tables.md`."""
    written = (Path(__file__).parents[2] / "docs/tables.md").read_text("utf-8")
    assert written == "\n".join(page()).rstrip() + "\n"
