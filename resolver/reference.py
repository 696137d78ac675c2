"""The reference: which identifiers form which entity, under which id. The executable specification.

Plain and obvious on purpose: it keeps the set of links and computes everything else from it. The stream and
the warehouse must give the same answer for the same set of events, whatever the order, the batches or the
workers.

1. Each participant of an event names a set of identifiers; the guards take blocked ones out; what remains
is a *link*.
2. A link keeps the lowest log position that named it, and the last instant.
3. Entities are the connected components of identifiers under the links, and under synonyms: the former id
of an alias is
   one with the user id and the anonymous id of the same value, where events name those. A synonym lends no
   age.
4. An identifier is as old as the oldest link that holds it. The entity's id is made from its oldest
identifier
   (ties: the smaller identifier key).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from schemas.blocked import blocked
from schemas.events import Event
from schemas.identifiers import Identifier, Keyring, entity_id
from schemas.synonyms import synonyms

LinkSet = frozenset[Identifier]


@dataclass(frozen=True, slots=True)
class LinkFact:
    """What is kept of a link: its first evidence (a log position, bytes) and its last instant (ms)."""

    first: bytes
    last_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer: the entity id of every identifier, and the links it rests on."""

    entity_of: Mapping[Identifier, str]
    links: Mapping[LinkSet, LinkFact]

    @property
    def entities(self) -> Mapping[str, frozenset[Identifier]]:
        """The identifiers of every entity id."""
        members: dict[str, set[Identifier]] = defaultdict(set)
        for identifier, name in self.entity_of.items():
            members[name].add(identifier)
        return {name: frozenset(identifiers) for name, identifiers in members.items()}


@dataclass(slots=True)
class Reference:
    """Takes events in any order, any number of times, and answers from the set of them."""

    keyring: Keyring
    links: dict[LinkSet, LinkFact] = field(default_factory=dict)

    def add(self, events: Iterable[Event]) -> None:
        """Learn what the events say."""
        for event in events:
            for participant in event.participants:
                link = frozenset(one for one in participant.identifiers if blocked(one) is None)
                if link:
                    self._learn(link, LinkFact(event.position, event.ingested_at_ms))

    def _learn(self, link: LinkSet, fact: LinkFact) -> None:
        known = self.links.get(link, fact)
        self.links[link] = LinkFact(min(known.first, fact.first), max(known.last_ms, fact.last_ms))

    def answer(self) -> Answer:
        """The answer to everything learned so far."""
        age = self._ages()
        entity_of: dict[Identifier, str] = {}
        for component in self._components():
            senior = min(component, key=lambda one: (age[one], self.keyring.key(one)))
            name = entity_id(senior.entity_type, self.keyring.key(senior))
            entity_of.update(dict.fromkeys(component, name))
        return Answer(entity_of, dict(self.links))

    def _ages(self) -> dict[Identifier, bytes]:
        """Each identifier's lowest log position."""
        ages: dict[Identifier, bytes] = {}
        for link, fact in self.links.items():
            for identifier in link:
                ages[identifier] = min(fact.first, ages.get(identifier, fact.first))
        return ages

    def _components(self) -> list[set[Identifier]]:
        """Connected components, by walking from identifier to identifier over the links."""
        neighbours: dict[Identifier, set[Identifier]] = defaultdict(set)
        for link in self.links:
            hub = min(link, key=self.keyring.key)
            for identifier in link:
                neighbours[hub].add(identifier)
                neighbours[identifier].add(hub)
        for identifier in tuple(neighbours):
            neighbours[identifier].update(one for one in synonyms(identifier) if one in neighbours)
        unseen, components = set(neighbours), []
        while unseen:
            component, waiting = set(), [unseen.pop()]
            while waiting:
                one = waiting.pop()
                component.add(one)
                fresh = neighbours[one] & unseen
                unseen -= fresh
                waiting.extend(fresh)
            components.append(component)
        return components
