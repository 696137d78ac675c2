"""The stream's answer, copied into the warehouse to be compared there: all, or what some were touched by."""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

from resolver.authoritative import Engine, Row, statement
from resolver.redis_store import RedisStore
from resolver.region import pages
from resolver.store import StoredProfile
from schemas.tables import ColumnType

# of a group: its persons, else they are not compared; of an entity: members read with it
_MOST: Final = 1_000

_STREAM: Final[Mapping[str, Mapping[str, ColumnType]]] = {
    "traits": {
        "entity_id": "text",
        "trait_name": "text",
        "trait_value": "text",
        "source": "text",
        "event_id": "text",
        "occurred_at": "instant",
    },
    "memberships": {
        "person_id": "text",
        "group_id": "text",
        "role": "text",
        "established_at": "instant",
        "ended_at": "instant",
    },
    "states": {
        "entity_id": "text",
        "state_name": "text",
        "state_value": "text",
        "state_numeric_value": "float",
        "state_entered_at": "instant",
        "state_exited_at": "instant",
    },
}


class StreamAnswer:
    """Reads from the store what entities are, and what is known of them. A walk may meet one twice."""

    def __init__(self, store: RedisStore, engine: Engine) -> None:
        self._store, self._engine = store, engine
        self._placed: dict[bytes, str | None] = {}
        self._whole: dict[str, bool] = {}  # the entities that were read, and whether with all that there is
        self._rows: dict[str, dict[Row, Row]] = {name: {} for name in _STREAM}

    def read_all(self) -> None:
        """All entities, into the warehouse: `nexus_stream_...`."""
        self._placed.update(self._store.placed())
        cursor = -1
        while cursor:
            cursor, _, page = self._store.profiles_page(max(cursor, 0))
            for stored in page:
                self._add(stored)
        self._engine.execute(statement(self._engine.dialect, "compared"))
        self._write()

    def read_touched(self) -> None:
        """Those that hold an identifier inside of the part that was resolved. Where the stream has it with
        others, then also those that hold these: all that is needed to tell what is wrong.
        """
        keys = {bytes(key) for (key,) in self._engine.rows("SELECT identifier_key FROM nexus_work_inside")}
        asked, ids = set[bytes](), set[str]()
        while keys:
            homes = self._read(keys)
            asked.update(keys, homes)
            ids.update(homes.values())
            keys = self._placed.keys() - asked
        columns: dict[str, ColumnType] = {"entity_id": "text", "has_persons": "bool"}
        compared = [(name, self._whole.get(name, False)) for name in sorted(ids)]
        self._engine.replace("nexus_work_compared", columns, compared)
        self._write()

    def _read(self, keys: Collection[bytes]) -> dict[bytes, str]:
        """Read what the stream makes of some identifiers, and of those that the log has one with them; the
        ids of their entities as the log has it.
        """
        self._engine.replace(
            "nexus_work_wanted", {"identifier_key": "bytes"}, [(key,) for key in sorted(keys)]
        )
        found = self._engine.rows(statement(self._engine.dialect, "one_with"))
        homes = {bytes(key): name for key, name in found}
        seniors = {bytes.fromhex(name[4:]) for name in homes.values()}
        self._read_profiles(seniors)
        others = [key for key in {*keys, *homes} if key not in self._placed]
        unread: dict[str, bytes] = {}
        for page in pages(others):
            for key, name in zip(page, self._store.homes(page), strict=True):
                self._placed[key] = name
                if name is not None and name not in self._whole:
                    unread[name] = key
        self._read_profiles(unread.values())
        return homes

    def _read_profiles(self, keys: Iterable[bytes]) -> None:
        for page in pages(keys):
            for stored in self._store.profiles(page, _MOST):
                if stored is not None and stored.entity.entity_id not in self._whole:
                    members = (one.key for one in stored.entity.members)
                    self._placed.update(dict.fromkeys(members, stored.entity.entity_id))
                    self._add(stored)

    def _add(self, stored: StoredProfile) -> None:
        name = stored.entity.entity_id
        self._whole[name] = stored.is_complete
        for trait, one in stored.profile.traits.items():
            self._rows["traits"][name, trait] = (
                name,
                trait,
                one.value.decode(),
                one.origin.source,
                one.origin.event_id,
                one.origin.occurred_at_ms,
            )
        for state, timeline in stored.profile.timelines.items():
            for it in timeline:
                interval = (it.value.text, it.value.number, it.entered_ms, it.exited_ms)
                self._rows["states"][name, state, it.entered_ms] = (name, state, *interval)
        for each in stored.memberships:
            if each.person_id == name or stored.is_complete:
                key = (each.person_id, each.group_id, each.role)
                self._rows["memberships"][key] = (*key, each.started_ms, each.ended_ms)

    def _write(self) -> None:
        replace = self._engine.replace
        placed = ((key, name) for key, name in self._placed.items() if name is not None)
        replace("nexus_stream_identifiers", {"identifier_key": "bytes", "entity_id": "text"}, placed)
        for name, columns in _STREAM.items():
            replace(f"nexus_stream_{name}", columns, self._rows[name].values())
