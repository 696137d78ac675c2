"""A warehouse that only writes down what the resolution asks of it: every statement, in order, once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from resolver.authoritative import Authoritative, statement
from schemas.tables import ColumnType
from tests.resolver.histories import KEYRING, command
from tests.resolver.profile_histories import STATED

_QUESTIONS = ("wanted_events", "copies", "newest_events", "asked_links")


class Scribe:
    """An engine of a dialect. `statements` are what it was asked; a small table is its name and columns."""

    def __init__(self, dialect: str) -> None:
        self.dialect = dialect
        self.statements: list[str | tuple[str, Mapping[str, ColumnType]]] = []
        self._edges = [1, 0]

    def execute(self, statement: str) -> None:
        self.statements.append(statement)

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        self.statements.append(statement)
        if statement.startswith("SELECT COUNT(*)"):
            return [(self._edges.pop(0),)]
        return [(1,)] if statement.startswith("SELECT MAX(") else []

    def replace(self, table: str, columns: Mapping[str, ColumnType], rows: Iterable[Sequence[Any]]) -> None:
        self.statements.append((table, columns))


def asked(dialect: str) -> list[str | tuple[str, Mapping[str, ColumnType]]]:
    """All that a resolution asks of a warehouse under rules that have everything, and whoever asks about the
    log, with the tables that questions are put into.
    """
    scribe, rules = Scribe(dialect), STATED["everything at once"]
    scribe.statements += [
        ("nexus_work_wanted", {"identifier_key": "bytes"}),
        ("nexus_work_wanted_sets", {"set_key": "bytes"}),
        ("nexus_work_bounds", {"until_at": "instant", "most": "int"}),
    ]
    authoritative = Authoritative(scribe, KEYRING)
    report = authoritative.resolve(rules, [command("apart", "user_id=a", "user_id=b", ms=1)])
    authoritative.publish_identity(report)
    authoritative.describe(rules, now_ms=0)
    authoritative.publish_profiles()
    authoritative.publish_edges()
    return scribe.statements + [statement(dialect, name) for name in _QUESTIONS]
