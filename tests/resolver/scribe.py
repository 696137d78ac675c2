"""A warehouse that only writes down what the resolution asks of it: every statement, in order, once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from resolver.authoritative import Authoritative, statement
from resolver.touched import Since, Touched
from schemas.tables import ColumnType, Table
from tests.resolver.histories import KEYRING, command, key_of
from tests.resolver.profile_histories import STATED


class Scribe:
    """An engine of a dialect. `statements` are what it was asked; a small table is its name and columns."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.statements: list[str | tuple[str, Mapping[str, ColumnType]]] = []
        self._edges = [1, 0, 1, 0]

    def execute(self, statement: str) -> None:
        self.statements.append(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        self.statements.append(statement)
        if statement.startswith("SELECT COUNT(*)"):
            return [(self._edges.pop(0),)]
        if statement.endswith("FROM nexus_suspended_links"):
            return [("event", "[]", b"", b"", None, None)]
        return [(1,)] if statement.startswith("SELECT MAX(") else []

    def create(self, tables: Iterable[Table]) -> None:
        """What is declared is there."""

    def replace(self, table: str, columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> None:
        self.statements.append((table, columns))


def asked(dialect: str) -> list[str | tuple[str, Mapping[str, ColumnType]]]:
    """All that a resolution asks of a warehouse, of the log and of a part, under rules with everything."""
    scribe, rules = Scribe(dialect), STATED["everything at once"]
    for part in (None, Touched(scribe, rules, Since({("t", 0): 1}, [key_of("user_id=a")], 0))):
        authoritative = Authoritative(scribe, KEYRING, part=part)
        report = authoritative.resolve(rules, [command("apart", "user_id=a", "user_id=b", ms=1)])
        authoritative.publish_identity(report)
        authoritative.describe(rules, now_ms=0)
        authoritative.publish_profiles()
        authoritative.publish_edges()
    scribe.replace("nexus_work_wanted", {"identifier_key": "bytes"}, ())
    scribe.statements += [statement(dialect, name) for name in ("one_with", "compared")]
    return scribe.statements
