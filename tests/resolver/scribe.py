"""A warehouse that only writes down what the resolution asks of it: every statement, in order."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from resolver.authoritative import Authoritative, statement
from resolver.touched import Since, Touched
from schemas.tables import ColumnType, Table
from tests.resolver.histories import KEYRING, command, key_of
from tests.resolver.profile_histories import STATED

Asked: TypeAlias = str | Table | tuple[str, Mapping[str, ColumnType]]
_QUESTIONS: Final = ("wanted_events", "copies", "newest_events", "asked_links")
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
        self._edges = [1, 0, 1, 0]

    def execute(self, statement: str) -> None:
        self.statements.append(statement)

    def rows(self, asked: str) -> list[tuple[Any, ...]]:
        self.statements.append(asked)
        if asked.startswith("SELECT COUNT(*)"):
            return [(self._edges.pop(0),)]
        if asked == statement(self.dialect, "trait_names"):
            return list(_TRAITS)
        if asked.endswith("FROM nexus_suspended_links"):
            return [("event", "[]", b"", b"", None, None)]
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
    """All that a resolution asks of a warehouse under rules that have everything, of all and of a part, and
    whoever asks about the log, with the tables that questions are put into.
    """
    scribe, rules = Scribe(dialect), STATED["everything at once"]
    scribe.statements += [
        ("nexus_work_wanted", {"identifier_key": "bytes"}),
        ("nexus_work_wanted_sets", {"set_key": "bytes"}),
        ("nexus_work_bounds", {"until_at": "instant", "most": "int"}),
    ]
    touched = Touched(scribe, rules, Since({("t", 0): 1}, [key_of("user_id=a")], 0))
    for part in (None, touched):
        authoritative = Authoritative(scribe, KEYRING, part=part)
        report = authoritative.resolve(rules, [command("apart", "user_id=a", "user_id=b", ms=1)])
        authoritative.describe(rules, now_ms=0)
        authoritative.publish(report, 0)
    return scribe.statements + [statement(dialect, name) for name in _QUESTIONS]
