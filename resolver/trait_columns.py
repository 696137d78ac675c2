"""The columns of `nexus_persons` and `nexus_groups` that follow the data: text, one for each trait and one
for each type of identifier, as users of dbt-nexus know them.

A name is made fit to be a column's: lower case, and all but the letters a to z, digits and `_` become one
`_`. What does not begin with a letter then, or is the name of another column, gets `trait_` in front; a name
without any such letter or digit has no column. Names that come to one column share it: the trait that was
said last counts. Whatever has no column is in `traits`.

A column stays when the last who had the trait is gone, so that queries go on; there are no more than `MOST`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

from schemas.tables import Column, Table, quoted, tables

MOST: Final = 500
"""Columns for traits of a table. BigQuery takes 10,000, people fewer."""
_LONGEST: Final = 200  # characters; Snowflake takes 255 in a name
_PLACE: Final = re.compile(r"^( *)-- columns for traits\b.*\n", re.MULTILINE)
_TABLES: Final = ("nexus_persons", "nexus_groups", "nexus_entities")


def column_name(name: str) -> str | None:
    """The column of a trait or a type of identifier. None: it cannot have one."""
    plain = re.sub(r"[^a-z0-9_]+", "_", name.lower())[:_LONGEST]
    if not re.search("[a-z0-9]", plain):
        return None
    is_taken = any(plain in tables()[table].names for table in _TABLES)
    return plain if plain[0].isalpha() and not is_taken else f"trait_{plain}"


def chosen(there: Iterable[str], types: Iterable[str], traits: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """The names of the columns, in order: those that are there, then those of types of identifiers, then of
    the traits that most entities have.
    """
    by_use = sorted(traits, key=lambda trait: (-trait[1], trait[0]))
    names = [*sorted(types), *(name for name, _ in by_use)]
    wanted = (column for column in map(column_name, names) if column is not None)
    return tuple(dict.fromkeys([*there, *wanted]))[: max(MOST, len(tuple(there)))]


def widened(table: Table, names: Iterable[str]) -> Table:
    """The table with these columns beside its own."""
    more = (Column(name, "text", "What is said of it.", is_required=False) for name in names)
    return replace(table, columns=(*table.columns, *more))


def spread(dialect: str, statement: str, names: Sequence[str]) -> str:
    """`final_persons` or `final_groups` with these columns."""
    listed = [quoted(dialect, name) for name in names]
    found = [
        f"MAX(CASE WHEN column_name = '{name}' THEN said END) AS {quoted(dialect, name)}" for name in names
    ]
    return _filled(statement, listed, found, [f"spread.{name}" for name in listed])


def united(dialect: str, statement: str, persons: Collection[str], groups: Collection[str]) -> str:
    """`view_entities` with the columns of both."""
    names = sorted({*persons, *groups})
    return _filled(statement, *(list(_either(dialect, names, one)) for one in (persons, groups)))


def _either(dialect: str, names: Iterable[str], there: Collection[str]) -> Iterator[str]:
    for name in names:
        column = quoted(dialect, name)
        yield column if name in there else f"CAST(NULL AS STRING) AS {column}"


def _filled(statement: str, *lines: list[str]) -> str:
    """Each list in the place of one of the comments that keep it."""
    blocks = iter(lines)
    return _PLACE.sub(lambda found: "".join(f"{found[1]}{line},\n" for line in next(blocks)), statement)
