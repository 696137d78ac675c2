"""How far the tables in the warehouse are, so that the next run need not make them anew."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from resolver.authoritative import Engine, method
from resolver.store import Command, Cut
from resolver.touched import Since, otherwise
from schemas.identifiers import Keyring
from schemas.tables import ColumnType, tables

_TABLE: Final = "nexus_reconciled"
_TAKE_NOTHING: Final = frozenset({"together", "apart", "block", "unblock", "release", "rules"})
"""The operator events that take nothing out of the log."""
_SAID_LATER: Final = """
SELECT DISTINCT operation.kind
FROM nexus_operator_events AS operation
LEFT JOIN nexus_reconciled AS last
    ON operation.topic = last.topic AND operation.log_partition = last.log_partition
WHERE operation.log_offset >= COALESCE(last.next_offset, 0)
"""


class Said(Protocol):
    """The log, as far as it holds what operators said."""

    def commands(self, offsets: Mapping[tuple[str, int], int]) -> Sequence[Command]:
        """The operator events that lie before some offsets, by topic and partition."""


class _Last(NamedTuple):
    offsets: Mapping[tuple[str, int], int]
    rules: str
    method: str
    now_ms: int


class LastAnswer:
    """Remembers in the warehouse as of which cut the tables there are. Whoever changes them forgets it first:
    who is killed half-way leaves tables that nobody builds upon.
    """

    def __init__(self, engine: Engine, said: Said, keyring: Keyring) -> None:
        self._engine, self._said, self._keyring = engine, said, keyring

    def forget(self) -> None:
        """The tables are no answer from now on."""
        self._write(())

    def keep(self, cut: Cut) -> None:
        """The tables are the answer as of this cut."""
        of_all = (cut.rules, method(self._engine.dialect), cut.now_ms)
        self._write([(*partition, offset, *of_all) for partition, offset in sorted(cut.offsets.items())])

    def since(self, cut: Cut, pending: Collection[bytes]) -> Since | None:
        """What happened between the last answer and a cut; None where only a whole run can tell what follows:
        there is no last answer, it was by other rules or statements, it is ahead of the cut (Redis came back
        from an older copy), or something was taken out of the log.
        """
        last = self._read()
        if last is None or (last.rules, last.method) != (cut.rules, method(self._engine.dialect)):
            return None
        if last.now_ms > cut.now_ms or any(at > cut.offsets.get(one, 0) for one, at in last.offsets.items()):
            return None
        if not _TAKE_NOTHING.issuperset(kind for (kind,) in self._engine.rows(_SAID_LATER)):
            return None
        before, now = self._said.commands(last.offsets), self._said.commands(cut.offsets)
        return Since(last.offsets, otherwise(self._keyring, before, now).union(pending), cut.now_ms)

    def _read(self) -> _Last | None:
        table = tables()[_TABLE]
        self._engine.create([table])
        rows = list(self._engine.rows(f"SELECT {', '.join(table.names)} FROM {_TABLE}"))
        if not rows:
            return None
        offsets = {(topic, int(partition)): int(offset) for topic, partition, offset, *_ in rows}
        *_, rules, by, now_ms = rows[0]
        return _Last(offsets, rules, by, int(now_ms))

    def _write(self, rows: Sequence[tuple[str | int, ...]]) -> None:
        columns: dict[str, ColumnType] = {one.name: one.type for one in tables()[_TABLE].columns}
        self._engine.replace(_TABLE, columns, rows)
