"""What the commands ask, for Python programs:

    with Nexus(load()) as nexus:
        person = nexus.lookup("person", "email", "ada@acme.example")
        for change in nexus.history(person.entity_id):
            print(change.what, change.other_id)

Reads only. Each call sees whole batches, never half of one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import NamedTuple, Self

from flows.settings import Settings
from flows.sorting import sorted_rows
from flows.wiring import Wiring
from resolver.keys import Keys
from resolver.store import Change, Entity
from schemas.blocked import blocked
from schemas.errors import BadValue, SettingsError
from schemas.events import parse_position
from schemas.identifiers import EntityType, Identifier, identifier, parse_entity_id
from schemas.instants import format_instant


@dataclass(frozen=True, slots=True)
class History:
    """What an entity id has been through: who holds it now, since when, and its last identity changes."""

    entity_id: str
    now: Entity | None
    changes: Sequence[Change]

    @property
    def is_complete(self) -> bool:
        """Whether the store still remembers everything: it keeps the last 20 changes of an id."""
        return len(self.changes) < 20


class Row(NamedTuple):
    """One line of an export."""

    identifier_type: str
    identifier_value: str
    entity_id: str


class Nexus:
    """A client of one namespace. Raises StoreUnavailable when Redis does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._parts = Wiring(settings)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._parts.__exit__(kind, error, trace)

    def lookup(self, entity_type: EntityType, identifier_type: str, value: str) -> Entity | None:
        """The entity that holds this identifier now, None for nobody: also for a value that is blocked.

        The value may be written in any way that normalises to the same. Raises SettingsError for one that
        cannot be normalised.
        """
        asked = _identifier(entity_type, identifier_type, value)
        if blocked(asked) is not None:
            return None
        return self._parts.store.entity(self._parts.keyring.key(asked))

    @staticmethod
    def blocked(entity_type: EntityType, identifier_type: str, value: str) -> str | None:
        """The name of the built-in list by which this value identifies nobody, None when it may identify
        somebody.
        """
        return blocked(_identifier(entity_type, identifier_type, value))

    def entity(self, entity_id: str) -> Entity | None:
        """The entity that answers to an id, be it a former one."""
        return self._parts.store.entity(parse_entity_id(entity_id)[1])

    def history(self, entity_id: str) -> History:
        """The last identity changes of an id, oldest first, and who answers to it now."""
        entity_type, key = parse_entity_id(entity_id)
        store = self._parts.store
        return History(entity_id, store.entity(key), store.history(entity_type, key))

    def count(self) -> int:
        """How many identifiers there are, of persons and groups together."""
        parts = self._parts
        parts.store.sequence()  # which says in our words when the store does not answer
        return int(parts.client.hlen(Keys(parts.settings.namespace).nodes))

    def export(self, entity_type: EntityType, show: Callable[[int], None] = lambda _: None) -> Iterator[Row]:
        """Every identifier with its entity id, sorted by type and value. Streams: memory does not grow with
        them.

        `show` is told how many identifiers were read, of both entity types, before the first row comes.
        """
        rows = (
            (one.identifier_type, one.identifier_value, entity_id)
            for one, entity_id in self._read(entity_type, show)
        )
        return (Row(*row) for row in sorted_rows(rows, key_length=2))

    def _read(self, entity_type: EntityType, show: Callable[[int], None]) -> Iterator[tuple[Identifier, str]]:
        cursor, seen = 0, 0
        while True:
            cursor, _, found = self._parts.store.page(cursor)
            seen += len(found)
            show(seen)
            yield from (pair for pair in found if pair[0].entity_type == entity_type)
            if cursor == 0:
                return


def _identifier(entity_type: EntityType, identifier_type: str, value: str) -> Identifier:
    try:
        return identifier(entity_type, identifier_type, value)
    except BadValue as error:
        raise SettingsError(f"{identifier_type}: the value {error.reason}") from None


def born(entity: Entity) -> str:
    """Since when an entity is known, and by which event: `2026-01-05T10:00:00.000Z by stripe in_1:paid`."""
    ingested_at_ms, source, event_id = parse_position(entity.first_seen)
    return f"{format_instant(ingested_at_ms)} by {source} {event_id}"
