"""Who became one with whom, and who came apart again: every entity, by replaying the transitions alone."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, TypeAlias

from schemas.identifiers import EntityType
from schemas.transitions import (
    TIMER_SOURCE,
    Change,
    EntitiesMerged,
    EntityCreated,
    EntityErased,
    EntityRelabelled,
    EntitySplit,
    IdentifierAdded,
    IdentifierQuarantined,
    IdentifierReleased,
    NamedIdentifier,
)

Name: TypeAlias = tuple[EntityType, str, str]
"""Entity type, identifier type, normalised value."""

_MOST_CHANGES: Final = 40


@dataclass(slots=True)
class Life:
    """An entity as the transitions tell of it: what it is known by, and what it has been through.

    The life of one that came off another begins there.
    """

    names: set[Name] = field(default_factory=set)
    changes: list[Change] = field(default_factory=list)
    merges: int = 0
    sources: set[str] = field(default_factory=set)

    def absorb(self, other: "Life") -> None:
        """Take over everything of another one."""
        self.names |= other.names
        self.changes += other.changes
        self.merges += other.merges
        self.sources |= other.sources

    def live(self, change: Change) -> None:
        """Remember a change."""
        self.changes.append(change)
        if change.cause.source != TIMER_SOURCE:
            self.sources.add(change.cause.source)

    def history(self) -> list[Change]:
        """What it has been through, in order, each change once: two that had parted may be one again."""
        return sorted({one.sequence: one for one in self.changes}.values(), key=lambda one: one.sequence)


class Lives:
    """All entities that there are, and what was taken out or came apart on the way."""

    def __init__(self, transitions: Iterable[Change]) -> None:
        self.now: dict[str, Life] = {}
        self.merges = 0
        self.quarantined: dict[Name, IdentifierQuarantined] = {}  # those that are not back
        self.splits: list[EntitySplit] = []
        for change in transitions:
            self._apply(change)

    def _apply(self, change: Change) -> None:
        life = self.now.setdefault(change.entity_id, Life())
        match change:
            case EntityCreated() | IdentifierAdded() | IdentifierReleased():
                self._name(life, change)
            case EntitiesMerged():
                life.absorb(self.now.pop(change.absorbed_id, Life()))
                life.merges += 1
                self.merges += 1
            case EntityRelabelled():
                life.absorb(self.now.pop(change.former_id, Life()))
            case EntitySplit():
                self._part(life, change)
            case IdentifierQuarantined():
                life.names -= _named(change)
                self.quarantined.update(dict.fromkeys(_named(change), change))
            case EntityErased():
                life.names.clear()
        life.live(change)
        if not life.names:
            del self.now[change.entity_id]

    def _name(self, life: Life, change: EntityCreated | IdentifierAdded | IdentifierReleased) -> None:
        life.names |= _named(change)
        for name in _named(change):
            self.quarantined.pop(name, None)

    def _part(self, life: Life, split: EntitySplit) -> None:
        part = self.now.setdefault(split.part_id, Life())
        part.names |= _named(split)
        part.live(split)
        life.names -= part.names
        self.splits.append(split)

    @cached_property
    def home(self) -> Mapping[Name, str]:
        """The entity of each identifier that has one."""
        return {name: entity for entity, life in self.now.items() for name in life.names}

    def protagonist(self) -> tuple[str, Life] | None:
        """Somebody whose life shows much and fits on a screen: known to most sources, merged most often."""
        persons = [(name, life) for name, life in self.now.items() if life.merges and name.startswith("per_")]
        fitting = [one for one in persons if len(one[1].changes) <= _MOST_CHANGES] or persons
        return max(fitting, key=lambda one: _interest(one[1]), default=None)


def _interest(life: Life) -> tuple[int, ...]:
    """One that never came apart is told first: of the others there is a chapter of their own."""
    parted = sum(isinstance(one, EntitySplit | IdentifierQuarantined) for one in life.changes)
    relabelled = sum(isinstance(one, EntityRelabelled) for one in life.changes)
    return -min(parted, 1), len(life.sources), life.merges, -relabelled, -life.changes[-1].number


@dataclass(frozen=True, slots=True)
class Meeting:
    """A merge as it happened: the two before it, and the transition that says so."""

    merge: EntitiesMerged
    survivor: frozenset[Name]
    absorbed: frozenset[Name]


def meetings(life: Life) -> Iterator[Meeting]:
    """The merges of a life, each with who the two were just before."""
    before: defaultdict[str, set[Name]] = defaultdict(set)
    for change in life.history():
        if isinstance(change, EntitiesMerged):
            survivor, absorbed = before[change.entity_id], before[change.absorbed_id]
            yield Meeting(change, frozenset(survivor), frozenset(absorbed))
        _follow(before, change)


def _follow(before: defaultdict[str, set[Name]], change: Change) -> None:
    names = before[change.entity_id]
    match change:
        case EntityCreated() | IdentifierAdded() | IdentifierReleased():
            names |= _named(change)
        case EntitiesMerged():
            names |= before.pop(change.absorbed_id)
        case EntityRelabelled():
            names |= before.pop(change.former_id, set())
        case EntitySplit():
            before[change.part_id] |= _named(change)
            names -= _named(change)
        case IdentifierQuarantined():
            names -= _named(change)
        case EntityErased():
            names.clear()


_Naming: TypeAlias = (
    EntityCreated | EntitySplit | IdentifierAdded | IdentifierQuarantined | IdentifierReleased
)


def _named(change: _Naming) -> set[Name]:
    return {(change.entity_type, one.type, one.value) for one in named(change)}


def named(change: _Naming) -> tuple[NamedIdentifier, ...]:
    """The identifiers that a change names."""
    return change.identifiers if isinstance(change, EntityCreated | EntitySplit) else (change.identifier,)
