"""What the final tables should hold, made in Python from what the reference knows, and what they do hold."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from resolver.facts import Mention
from resolver.profiles import Trait
from resolver.reference import Answer, Reference, Resolution
from resolver.trait_columns import column_name
from schemas.identifiers import ENTITY_TYPES, EntityType, Identifier, entity_id
from schemas.strict_json import canonical, parse
from sinks.warehouse.engine import Engine
from tests.resolver.event_log import MADE_MS, ms_of

_INSTANTS: Final = (
    "first_interaction_at",
    "last_interaction_at",
    "_created_at",
    "_updated_at",
    "_processed_at",
)


class Told(NamedTuple):
    """A mention that counts: of whom it is, and which of its identifiers are in the graph."""

    mention: Mention
    set_key: tuple[bytes, ...]
    entity_id: str
    inside: tuple[Identifier, ...]


class FinalTables:
    """The final tables in a warehouse, and what the reference would have in them."""

    def __init__(self, engine: Engine, reference: Reference, answer: Answer) -> None:
        self.engine, self.answer = engine, answer
        self._resolution = Resolution(reference)
        self._resolution.answer(0)
        self._told = list(self._mentions(self._resolution.facts.mentions))

    def agree(self) -> None:
        """Assert that persons, groups, participants and views are as the reference would have them."""
        for entity_type in ENTITY_TYPES:
            self._entities_agree(entity_type)
            assert self._participants(entity_type) == self._took_part(entity_type)
        self._views_agree()

    def _mentions(self, mentions: Iterable[Mention]) -> Iterator[Told]:
        resolution, entity_of = self._resolution, self.answer.entity_of
        for mention in mentions:
            keys = map(resolution.keyring.key, mention.identifiers)
            set_key = resolution.words.erasures.living_set(keys, mention.position)
            link = resolution.link(mention)
            anchor = resolution.anchor(link, entity_of)
            if anchor is not None and set_key is not None:
                inside = (resolution.names[key] for key in link)
                known = tuple(one for one in inside if one in entity_of)
                yield Told(mention, tuple(sorted(set_key)), entity_of[anchor], known)

    # persons and groups

    def _entities_agree(self, entity_type: EntityType) -> None:
        found = self._entities(entity_type)
        members = {name: held for name, held in self.answer.entities.items() if _is(entity_type, name)}
        assert found.keys() == members.keys()
        for name, row in found.items():
            told = [one.mention.origin.occurred_at_ms for one in self._told if one.entity_id == name]
            named = [one for one in self._told if not members[name].isdisjoint(one.inside)]
            traits = self.answer.profiles[name].traits if name in self.answer.profiles else {}
            created = min(one.mention.origin.occurred_at_ms for one in named)
            said = max((trait.origin.occurred_at_ms for trait in traits.values()), default=created)
            assert [row[column] for column in _INSTANTS] == [
                min(told, default=None), max(told, default=None), created, said, MADE_MS,
            ]  # fmt: skip
            self._merged_agrees(row["_last_merged_at"], named, members[name])
            assert row["traits"] == canonical({key: parse(it.value) for key, it in traits.items()}).decode()
            assert row["primary_source"] == self._first_source(name, members[name])
            texts = self._texts(traits, members[name])
            assert {column: row[column] for column in row.keys() & texts.keys()} == texts
            fixed = {*_INSTANTS, "traits", "primary_source", "_last_merged_at"}
            assert not any(row[column] for column in row.keys() - texts.keys() - fixed)

    def _entities(self, entity_type: EntityType) -> dict[str, dict[str, Any]]:
        table = f"nexus_{entity_type}s"
        columns = [name for name in self.engine.columns(table) if name != f"{entity_type}_id"]
        listed = ", ".join(
            f"{name}, {name} IS NULL" if name.endswith("_at") else f"{name}, FALSE" for name in columns
        )
        rows = self.engine.rows(f"SELECT {entity_type}_id, {listed} FROM {table}")
        return {
            name: dict(zip(columns, map(_plain, row[::2], row[1::2]), strict=True)) for name, *row in rows
        }

    def _merged_agrees(self, merged: int | None, named: list[Told], members: frozenset[Identifier]) -> None:
        """Of a link whose first place in the log two messages share, either may lend its instant."""
        first: dict[tuple[bytes, ...], list[tuple[bytes, int]]] = defaultdict(list)
        for one in named:
            if len(members.intersection(one.inside)) > 1:
                at = one.mention.origin.occurred_at_ms
                first[one.set_key].append((one.mention.position, at))
        if merged is None or not first:
            assert merged is None
            assert not first
            return
        instants = [[at for position, at in each if position == min(each)[0]] for each in first.values()]
        assert max(map(min, instants)) <= merged <= max(map(max, instants))

    def _first_source(self, name: str, members: Iterable[Identifier]) -> str:
        resolution = self._resolution
        keys = [key for key, one in resolution.names.items() if one in members]
        senior = next(key for key in keys if name == entity_id(resolution.names[key].entity_type, key))
        at = resolution.age[senior]
        return next(one.mention.origin.source for one in self._told if one.mention.position == at)

    def _texts(self, traits: Mapping[str, Trait], members: Iterable[Identifier]) -> dict[str, str]:
        found: dict[str, str] = {}
        age = {self._resolution.names[key]: (at, key) for key, at in self._resolution.age.items()}
        for one in sorted(members, key=age.__getitem__, reverse=True):
            found[column_name(one.identifier_type) or ""] = one.identifier_value
        for name, trait in traits.items():
            value = parse(trait.value)
            found[column_name(name) or ""] = value if isinstance(value, str) else trait.value.decode()
        return found

    # participants and views

    def _took_part(self, entity_type: EntityType) -> set[tuple[Any, ...]]:
        return {
            (one.mention.origin.event_id, one.mention.origin.source, one.entity_id, one.mention.role,
             one.mention.origin.occurred_at_ms)
            for one in self._told
            if _is(entity_type, one.entity_id)
        }  # fmt: skip

    def _participants(self, entity_type: EntityType) -> set[tuple[Any, ...]]:
        columns = f"event_id, source, {entity_type}_id, role, occurred_at"
        rows = self.engine.rows(f"SELECT {columns} FROM nexus_{entity_type}_participants")
        return {(*row, ms_of(at)) for *row, at in rows}

    def _views_agree(self) -> None:
        rows = self.engine.rows("SELECT entity_id, entity_type, traits FROM nexus_entities")
        of_type = [(name, kind) for name, kind, _ in rows]
        assert sorted(of_type) == sorted(
            (name, kind) for name in self.answer.entities for kind in ENTITY_TYPES if _is(kind, name)
        )
        query = "SELECT entity_a_id, entity_b_id, entity_a_role FROM nexus_relationships"
        assert {tuple(row) for row in self.engine.rows(query)} == self.answer.memberships.keys()
        ((count,),) = self.engine.rows("SELECT COUNT(*) FROM nexus_entity_participants")
        assert count == sum(len(self._took_part(entity_type)) for entity_type in ENTITY_TYPES)


def _is(entity_type: EntityType, name: str) -> bool:
    return name.startswith(entity_id(entity_type, b"")[:4])


def _plain(value: Any, is_missing: bool) -> Any:
    """Instants as ms. Snowflake's emulator sends 1970 for one that is missing."""
    if is_missing:
        return None
    return ms_of(value) if isinstance(value, datetime) else value
