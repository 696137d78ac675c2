"""What has to be resolved anew since the last answer, where that still stands in the warehouse's tables.

The answer is made of entities, and most of them nothing happened to. A *part* of the log is enough for the
others, if it is whole: with every identifier, all links that name it, and with every link that may unite, all
its identifiers. So it grows from *seeds*, the identifiers of which something may be otherwise (`seeds.sql`):

1. They were named since, or an operator said something else about them, or only the log can tell.
2. The entities of the last answer that hold a seed, or of which time alone changes a state (`region.sql`).
3. Entities that links tie together which unite nothing, since links are judged one after the other.

Whoever left the graph joins nobody: what is seen of one that stays out, on the fringe, counts for nothing.
With the guards that is all, as long as nothing is taken out of the log and the rules are the same; of an
answer to anything else only a whole run can tell.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from resolver.authoritative import Cut, Engine, Row, statement
from resolver.store import Command
from resolver.words import words
from schemas.identifiers import Identifier, Keyring
from schemas.rules import Rules
from schemas.tables import ColumnType, tables


class Since(NamedTuple):
    """What happened since the last answer: where the partitions ended then; identifiers that are asked about,
    by their keys; and as of when timed states are now (ms).
    """

    offsets: Cut
    asked: Collection[bytes]
    now_ms: int


@dataclass
class Touched:
    """The part of the log that has to be looked at. See the module."""

    engine: Engine
    rules: Rules
    since: Since
    standing: list[Row] = field(default_factory=list)
    """Once it is known: links that unite nothing and lie outside, as rows of `nexus_suspended_links`."""

    def narrow(self) -> None:
        """Let the resolution look at the part alone. It was told the cut and what operators said before."""
        self._load()
        self._run("arrived")
        nobody = [
            (key,)
            for *named, key in self._rows("newcomers")
            if self.rules.blocked(Identifier(*named)) is not None
        ]
        self._keys("nexus_work_nobody", nobody)
        if self.since.asked:
            self._run("named_with")
        else:
            self._keys("nexus_work_named_with", ())
        self._run("seeds")
        self._widen()
        self._run("inside", "sets_inside", "named_inside", "named_part")

    def _load(self) -> None:
        columns: dict[str, ColumnType] = {"topic": "text", "log_partition": "int", "next_offset": "int"}
        ends = [(*partition, end) for partition, end in self.since.offsets.items()]
        self.engine.replace("nexus_work_since", columns, ends)
        self.engine.replace("nexus_work_until", {"now_ms": "int"}, [(self.since.now_ms,)])
        self._keys("nexus_work_asked", [(key,) for key in sorted(self.since.asked)])

    def _widen(self) -> None:
        """Take in what suspended links tie to the part."""
        suspended = list(self._suspended())
        self._tie(())
        if not suspended:
            return
        place = tables()["nexus_suspended_links"].place("identifier_keys")
        keys = [
            (bytes.fromhex(key), number)
            for number, row in enumerate(suspended)
            for key in json.loads(row[place])
        ]
        self.engine.replace("nexus_work_ties", {"identifier_key": "bytes", "place": "int"}, keys)
        reached, entities = _reached(
            (int(number), name, bool(is_in)) for number, name, is_in in self._rows("ties")
        )
        self.standing += (row for number, row in enumerate(suspended) if number not in reached)
        self._tie(sorted(entities))

    def _tie(self, entities: Iterable[str]) -> None:
        rows = [(name,) for name in entities]
        self.engine.replace("nexus_work_tied_entities", {"entity_id": "text"}, rows)
        self._run("region")

    def _suspended(self) -> Iterable[Row]:
        names = ", ".join(tables()["nexus_suspended_links"].names)
        return self.engine.rows(f"SELECT {names} FROM nexus_suspended_links")

    def _keys(self, table: str, rows: Sequence[Row]) -> None:
        self.engine.replace(table, {"identifier_key": "bytes"}, rows)

    def _run(self, *names: str) -> None:
        for name in names:
            self.engine.execute(statement(self.engine.dialect, name))

    def _rows(self, name: str) -> list[Row]:
        return list(self.engine.rows(statement(self.engine.dialect, name)))


def _reached(ties: Iterable[tuple[int, str, bool]]) -> tuple[set[int], set[str]]:
    """Of links and entities that they tie together: those that can be reached from a touched one."""
    links_of: dict[str, list[int]] = defaultdict(list)
    entities_of: dict[int, list[str]] = defaultdict(list)
    touched = set[str]()
    for link, name, is_touched in ties:
        links_of[name].append(link)
        entities_of[link].append(name)
        if is_touched:
            touched.add(name)
    links, waiting = set[int](), list(touched)
    while waiting:
        for link in links_of[waiting.pop()]:
            if link not in links:
                links.add(link)
                others = [name for name in entities_of[link] if name not in touched]
                touched.update(others)
                waiting += others
    return links, touched


def otherwise(keyring: Keyring, before: Iterable[Command], after: Iterable[Command]) -> set[bytes]:
    """The keys of identifiers about which operators say something else than before."""
    former: Mapping[tuple[str, tuple[bytes, ...]], Command] = words(keyring, before).in_force
    now = words(keyring, after).in_force
    return {key for (_, keys), _ in former.items() ^ now.items() for key in keys}
