"""A warehouse that only writes down what the resolution asks of it: every statement, in order."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from resolver.authoritative import Authoritative, statement
from schemas.tables import ColumnType, Table
from tests.resolver.histories import KEYRING, command
from tests.resolver.profile_histories import STATED

Asked: TypeAlias = str | Table | tuple[str, Mapping[str, ColumnType]]
_TRAITS: Final = (
    ("person", "plan", 2),
    ("person", "Order by", 1),
    ("group", "plan", 1),
    ("group", "order", 1),
)


class Scribe:
    """An engine of a dialect. `statements` are what it was asked: a table that it was to make is that, and a
    small table its name and columns.
    """

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.statements: list[Asked] = []
        self._edges = [1, 0]

    def execute(self, statement: str) -> None:
        self.statements.append(statement)

    def rows(self, asked: str) -> list[tuple[Any, ...]]:
        self.statements.append(asked)
        if asked.startswith("SELECT COUNT(*)"):
            return [(self._edges.pop(0),)]
        if asked == statement(self.dialect, "trait_names"):
            return list(_TRAITS)
        return [(1,)] if asked.startswith("SELECT MAX(") else []

    def create(self, tables: Iterable[Table]) -> None:
        self.statements += tables

    def columns(self, table: str) -> dict[str, str]:
        return {"traits": "text"}

    def together(self, statements: Iterable[str]) -> None:
        self.statements += statements

    def replace(self, table: str, columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> None:
        self.statements.append((table, columns))


def asked(dialect: str) -> list[Asked]:
    """All that a resolution asks of a warehouse under rules that have everything."""
    scribe, rules = Scribe(dialect), STATED["everything at once"]
    authoritative = Authoritative(scribe, KEYRING)
    report = authoritative.resolve(rules, [command("apart", "user_id=a", "user_id=b", ms=1)])
    authoritative.describe(rules, now_ms=0)
    authoritative.publish(report, 0)
    return scribe.statements
